// Package jwks verifies the signatures of compact JWS tokens (RFC 7515) by key sets
// (RFC 7517) that it fetches, keeps and renews. Start with [Sets].
//
// The key decides the algorithm, never the token: a key's alg, or else its type and curve,
// names what it may verify, and the token must say just that. Symmetric algorithms and none
// do not exist here, nor do keys that a token brings along. Tokens over 8 KiB, encrypted or
// compressed ones and such with a crit or b64 header are refused before any key is looked for.
//
// A set is fetched at its first use, so the gateway starts with the identity provider down.
// It is renewed before it is two hours old; when that fails the old one stays in use. A
// token with an unknown key id has the set fetched once more, but not more often than every
// 30 seconds: whoever sends such tokens cannot make the gateway attack the provider. All
// fetches of one set are one.
//
// Fetched documents are bounded in size and time, redirects are not followed, and a
// discovery document (OpenID Connect Discovery 1.0) must be its issuer's and may not lead
// from https to http.
package jwks
