// Package cachekey is the cache_key hook: which parts make the cache key, and for how long may
// an answer be kept? The host stores.
package cachekey

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// Request is what the hook is told; see [wasmgate.Request].
type Request = wasmgate.Request

// Result is the key. The zero value has no opinion.
type Result struct {
	// Decision is Continue or Deny.
	Decision wasmgate.Decision
	// Hold is for how many requests the result holds; the zero value is this one.
	Hold wasmgate.Hold
	// Answer is what the client of a deny gets.
	Answer wasmgate.Answer
	// Reason is for the operator's log; the client never sees it.
	Reason string
	// Key is the parts, hashed as a tuple.
	Key wasmgate.Value
	// TTL is how long an answer may be kept; 0 is what the answer itself says.
	TTL wasmgate.Duration
	// Bypass neither looks up nor stores.
	Bypass bool
	// State is for later hooks of the same policy in this request, at most 4 KiB; only
	// without Hold.
	State []byte
}

// Key makes parts the cache key for ttl, 0 for what the answer itself says.
func Key(ttl wasmgate.Duration, parts ...wasmgate.Value) Result {
	return Result{Key: wasmgate.Concat(parts...), TTL: ttl}
}

// Bypass neither looks up nor stores.
func Bypass() Result { return Result{Bypass: true} }

// ForRoute makes r hold for every request of this route until the configuration changes.
func (r Result) ForRoute() Result {
	r.Hold = wasmgate.ForRoute()
	return r
}

// ForIdentity makes r hold for this identity on every route of this policy, for ttl.
func (r Result) ForIdentity(ttl wasmgate.Duration) Result {
	r.Hold = wasmgate.ForIdentity(ttl)
	return r
}

// ForIdentityOnRoute makes r hold for this identity on this route, for ttl.
func (r Result) ForIdentityOnRoute(ttl wasmgate.Duration) Result {
	r.Hold = wasmgate.ForIdentityOnRoute(ttl)
	return r
}

// Because gives the operator's log a reason.
func (r Result) Because(reason string) Result {
	r.Reason = reason
	return r
}

// Handle makes f the plugin's cache_key hook; call it once, in init.
func Handle(f func(*Request) Result) {
	wasmgate.Register(wire.HookCacheKey, func(q *wasmgate.Request, w *wasmgate.Writer) {
		r := f(q)
		w.Verdict(r.Decision, r.Hold, &r.Answer, r.Reason)
		w.Content(&r.Answer)
		w.Value(wire.ResultCacheKey, r.Key)
		w.Uint(wire.ResultCacheTTLMS, uint64(r.TTL))
		if r.Bypass {
			w.Uint(wire.ResultCacheBypass, 1)
		}
		w.Bytes(wire.ResultState, r.State)
	})
}
