// Package integrate is the integrate hook: one call to an upstream, or a reply.
package integrate

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// Request is what the hook is told; see [wasmgate.Request].
type Request = wasmgate.Request

// Result is the call plan. The zero value makes no call.
type Result struct {
	// Decision is Continue, Deny or Reply.
	Decision wasmgate.Decision
	// Hold is for how many requests the result holds; the zero value is this one.
	Hold wasmgate.Hold
	// Answer is what the client of a deny or a reply gets.
	Answer wasmgate.Answer
	// Reason is for the operator's log; the client never sees it.
	Reason string
	// Edits change what is sent, in order, all or none, at most 256.
	Edits []wasmgate.Edit
	// URL is the absolute URL of the call.
	URL wasmgate.Value
	// Method is the call's; absent is the request's.
	Method wasmgate.Value
	// Authority is the Host of the call; absent is the URL's.
	Authority wasmgate.Value
	// Timeout is the whole time of the call; 0 is 29 seconds.
	Timeout wasmgate.Duration
	// NoHeaders sends none of the request's headers, only what Edits set.
	NoHeaders bool
	// NoQuery does not append the request's query to URL.
	NoQuery bool
	// NoBody does not send the request's body.
	NoBody bool
	// Insecure does not verify the upstream's certificate, which lets anyone on the way
	// answer in its place; honoured only where the policy's config says so.
	Insecure bool
	// State is for later hooks of the same policy in this request, at most 4 KiB; only
	// without Hold.
	State []byte
}

// Call asks the upstream at url.
func Call(url wasmgate.Value) Result { return Result{URL: url} }

// Reply answers without an upstream; status 0 is 200.
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

// Handle makes f the plugin's integrate hook; call it once, in init.
func Handle(f func(*Request) Result) {
	wasmgate.Register(wire.HookIntegrate, func(q *wasmgate.Request, w *wasmgate.Writer) {
		r := f(q)
		w.Verdict(r.Decision, r.Hold, &r.Answer, r.Reason)
		w.Content(&r.Answer)
		w.Edits(wire.ResultEdits, r.Edits)
		w.Value(wire.ResultCallMethod, r.Method)
		w.Value(wire.ResultCallURL, r.URL)
		w.Uint(wire.ResultCallFlags, r.flags())
		w.Uint(wire.ResultCallTimeoutMS, uint64(r.Timeout))
		w.Value(wire.ResultCallAuthority, r.Authority)
		w.Bytes(wire.ResultState, r.State)
	})
}

func (r *Result) flags() (sum uint64) {
	for _, f := range [...]struct {
		on  bool
		bit uint64
	}{
		{r.NoHeaders, wire.CallNoHeaders}, {r.NoQuery, wire.CallNoQuery},
		{r.NoBody, wire.CallNoBody}, {r.Insecure, wire.CallInsecure},
	} {
		if f.on {
			sum |= f.bit
		}
	}
	return sum
}
