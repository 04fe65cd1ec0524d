// Package authorize is the authorize hook: who calls, and may they? Importing it makes
// the plugin an authorizer; any result but [Allow] denies.
package authorize

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// Request is what the hook is told; see [wasmgate.Request].
type Request = wasmgate.Request

// Result is the verdict. The zero value denies with 401.
type Result struct {
	// Decision is Allow or Deny.
	Decision wasmgate.Decision
	// Hold is for how many requests the result holds; the zero value is this one.
	Hold wasmgate.Hold
	// Answer is what the client of a deny gets.
	Answer wasmgate.Answer
	// Reason is for the operator's log; the client never sees it.
	Reason string
	// Principal is who calls, when allowed.
	Principal string
	// Context is values for later hooks and the access log, at most 16 KiB.
	Context []wasmgate.Pair
	// State is for later hooks of the same policy in this request, at most 4 KiB; only
	// without Hold.
	State []byte
}

// Allow lets the request in as principal.
func Allow(principal string) Result { return Result{Decision: wasmgate.Allow, Principal: principal} }

// Deny refuses with 401: the caller did not prove who they are.
func Deny() Result { return Result{Decision: wasmgate.Deny} }

// Forbid refuses with 403: the caller is known and may not.
func Forbid() Result {
	return Result{Decision: wasmgate.Deny, Answer: wasmgate.Answer{Status: 403}}
}

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

// Handle makes f the plugin's authorize hook; call it once, in init.
func Handle(f func(*Request) Result) {
	wasmgate.Register(wire.HookAuthorize, func(q *wasmgate.Request, w *wasmgate.Writer) {
		r := f(q)
		w.Verdict(r.Decision, r.Hold, &r.Answer, r.Reason)
		w.String(wire.ResultPrincipal, r.Principal)
		w.Pairs(wire.ResultContext, r.Context)
		w.Content(&r.Answer)
		w.Bytes(wire.ResultState, r.State)
	})
}
