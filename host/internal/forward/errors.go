package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// Kind is what went wrong in a call; fixed values, fit for a metric's label.
type Kind string

// The kinds.
const (
	Connect          Kind = "connect"            // no address took the connection
	DNS              Kind = "dns"                // the name has no address
	TLS              Kind = "tls"                // handshake or certificate
	RefusedAddress   Kind = "refused_address"    // all its addresses are forbidden
	TimeoutConnect   Kind = "timeout_connect"    // dialling and handshake
	TimeoutFirstByte Kind = "timeout_first_byte" // no answer began
	TimeoutIdle      Kind = "timeout_idle"       // the answer, or the taking of the request, stopped midway
	TimeoutTotal     Kind = "timeout_total"      // the call's own time is over
	Reset            Kind = "reset"              // the connection ended before the answer did
	Protocol         Kind = "protocol"           // the answer is not HTTP as http1 wants it
	RequestInvalid   Kind = "request_invalid"    // the request cannot be written as HTTP
	RequestBody      Kind = "request_body"       // the client's body is broken, slow or long
	Busy             Kind = "busy"               // no free connection, or too many upstreams
	ClientGone       Kind = "client_gone"        // the exchange's context ended
	Closed           Kind = "closed"             // the Forwarder is closed
)

// Error is every error of this package.
type Error struct {
	Kind Kind
	// Status is what to tell the client: 502, 503 or 504; for RequestInvalid 500; for RequestBody
	// 400, 408 or 413; for ClientGone 499, which nobody will see.
	Status int
	// Err is the cause; may name addresses, so it is for the operator only.
	Err error
}

// Error is kind and cause.
func (e *Error) Error() string { return "call upstream: " + string(e.Kind) + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

func fail(kind Kind, err error) *Error {
	status := 502
	switch kind {
	case TimeoutConnect, TimeoutFirstByte, TimeoutIdle, TimeoutTotal:
		status = 504
	case Busy, Closed:
		status = 503
	case ClientGone:
		status = 499
	case RequestInvalid:
		status = 500
	}
	return &Error{Kind: kind, Status: status, Err: err}
}

func failf(kind Kind, format string, args ...any) *Error {
	return fail(kind, fmt.Errorf(format, args...))
}

// bodyError is the failure of reading the client's body.
func bodyError(ctx context.Context, err error) *Error {
	if ctx != nil && ctx.Err() != nil {
		return fail(ClientGone, err)
	}
	e := &Error{Kind: RequestBody, Status: 400, Err: fmt.Errorf("read request body: %w", err)}
	var refusal *http1.Refusal
	switch {
	case errors.Is(err, exchange.ErrBodyTooLarge):
		e.Status = 413
	case isTimeout(err):
		e.Status = 408
	case errors.As(err, &refusal):
		e.Status = refusal.Status
	}
	return e
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
