// Package http calls HTTP hosts that the policy grants. A call blocks this guest, and
// the request it decides on, until the answer is there.
package http

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// Request is one outbound call.
type Request struct {
	// Method is GET when empty.
	Method string
	// URL is absolute; its host must be granted.
	URL string
	// Headers are all that is sent besides Host and framing.
	Headers []wasmgate.Pair
	// Body may be nil.
	Body []byte
	// Timeout is the time of the whole call; 0 is 1.5 seconds.
	Timeout wasmgate.Duration
	// MaxAnswer bounds the answer, head and body, in bytes; 0 is 64 KiB.
	MaxAnswer int
}

// Response is the answer of an outbound call.
type Response struct {
	Status  int
	Headers wasmgate.Pairs // names lower case
	Body    []byte
}

// Do makes the call, once. Any status is an answer; the error is a [wasmgate.Error]:
// ErrNotGranted, ErrUnavailable, ErrTimeout, or ErrLimit for an answer over MaxAnswer.
func Do(r Request) (Response, error) {
	var w wasmgate.Writer
	w.Start(0)
	if r.Method == "" {
		r.Method = "GET"
	}
	w.String(wire.ResultHTTPMethod, r.Method)
	w.String(wire.ResultHTTPURL, r.URL)
	w.Pairs(wire.ResultHTTPHeaders, r.Headers)
	w.Bytes(wire.ResultHTTPBody, r.Body)
	w.Uint(wire.ResultHTTPTimeoutMS, uint64(r.Timeout))
	if r.MaxAnswer == 0 {
		r.MaxAnswer = 64 << 10
	}
	out := make([]byte, r.MaxAnswer)
	n := call(w.Finish(), out)
	if n < 0 {
		return Response{}, wasmgate.StatusError(int32(n))
	}
	if n > int64(len(out)) {
		return Response{}, wasmgate.ErrLimit
	}
	var answer Response
	answer.Status, answer.Headers, answer.Body = wasmgate.ParseAnswer(out[:n])
	return answer, nil
}
