// Package cache is the shared response cache (RFC 9111), in memory and bounded in bytes.
//
// A cache_key hook says which parts make the key and for how long; the caller hashes the
// parts as a tuple and hands them to [Cache.Serve] with a fetch that asks the upstream.
// The cache answers from memory, lets one of several equal requests fetch for all, and
// keeps what may be kept. Answers carry Cache-Status (RFC 9211),
// and Age unless they come from the origin now.
//
// It never keeps: what says no-store, private or no-cache; an answer with Set-Cookie,
// Content-Range or trailers; Vary: * or a Vary on a field that the gateway makes itself; an
// answer to a request with Authorization unless the answer allows it (RFC 9111 3.5) or the
// key holds the identity; parts of a body. It does not look at requests other than GET and
// HEAD, nor at those with a body or a Range. A TTL of the policy overrides the answer's
// freshness, nothing else. Unsafe methods invalidate nothing (keys are opaque, 4.4 cannot
// be applied): [Cache.Flush] and Request.AllowInvalidate do.
//
// What is in it may vanish at any moment. Start at [Cache.Serve].
package cache
