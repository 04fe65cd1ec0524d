// Package guard is the guard hook: may the request come in at all?
package guard

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// Request is what the hook is told; see [wasmgate.Request].
type Request = wasmgate.Request

// Result is the verdict. The zero value has no opinion and lets the request go on.
type Result struct {
	// Decision is Continue, Allow, Deny or Reply.
	Decision wasmgate.Decision
	// Hold is for how many requests the result holds; the zero value is this one.
	Hold wasmgate.Hold
	// Answer is what the client of a deny or a reply gets.
	Answer wasmgate.Answer
	// Reason is for the operator's log; the client never sees it.
	Reason string
	// State is for later hooks of the same policy in this request, at most 4 KiB; only
	// without Hold.
	State []byte
}

// Allow lets the request go on.
func Allow() Result { return Result{Decision: wasmgate.Allow} }

// Deny refuses with 403.
func Deny() Result { return Result{Decision: wasmgate.Deny} }

// Reply answers before anybody asks for credentials, once all guards have let the
// request in: for CORS preflights and the like.
func Reply(a wasmgate.Answer) Result { return Result{Decision: wasmgate.Reply, Answer: a} }

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

// Handle makes f the plugin's guard hook; call it once, in init.
func Handle(f func(*Request) Result) {
	wasmgate.Register(wire.HookGuard, func(q *wasmgate.Request, w *wasmgate.Writer) {
		r := f(q)
		w.Verdict(r.Decision, r.Hold, &r.Answer, r.Reason)
		w.Content(&r.Answer)
		w.Bytes(wire.ResultState, r.State)
	})
}
