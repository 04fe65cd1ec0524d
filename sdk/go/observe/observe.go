// Package observe is the observe hook: labels for the access log, after the answer is out.
package observe

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// Request is what the hook is told; see [wasmgate.Request].
type Request = wasmgate.Request

// Result is what the log gets. The zero value adds nothing.
type Result struct {
	// Labels are extra fields of the access log.
	Labels []wasmgate.Pair
	// Reason is for the operator's log; the client never sees it.
	Reason string
}

// Label adds fields to the access log.
func Label(labels ...wasmgate.Pair) Result { return Result{Labels: labels} }

// Handle makes f the plugin's observe hook; call it once, in init.
func Handle(f func(*Request) Result) {
	wasmgate.Register(wire.HookObserve, func(q *wasmgate.Request, w *wasmgate.Writer) {
		r := f(q)
		w.String(wire.ResultReason, r.Reason)
		w.Pairs(wire.ResultLabels, r.Labels)
	})
}
