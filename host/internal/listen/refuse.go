package listen

import (
	"errors"
	"net/netip"
	"os"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// Refused is a request or connection that the door turned away.
type Refused struct {
	Remote   netip.AddrPort
	Protocol string // as in exchange.Conn; empty before it is known
	ID       string // of the request, as the client was told; empty when there is none
	Status   int    // what the client was told, 0 when nothing could be
	Section  string // such as "RFC 9112 6.1", empty for limits of our own
	Reason   string // one of a fixed set, fit to label a metric
}

// Reasons of [Refused] beside those of http1.Refusal and of http2, some of which are the
// same.
const (
	ReasonConnections = "too many connections"
	ReasonAddress     = "too many connections from one address"
	ReasonStopping    = "server is stopping"
	ReasonProxy       = "PROXY protocol header is missing or malformed"
	ReasonHello       = "TLS handshake failed"
	ReasonHelloSlow   = "TLS handshake is too slow"
	ReasonHeadSlow    = "head is too slow"
	ReasonBodySlow    = "body is too slow"
	ReasonBodyLarge   = "body is too large"
	ReasonBodyShort   = "body is incomplete"
	ReasonWriteSlow   = "answer is read too slowly"
)

// Refusals that are not of the syntax.
var (
	errHeadSlow  = &http1.Refusal{Status: 408, Section: "RFC 9110 15.5.9", Reason: ReasonHeadSlow}
	errBodySlow  = &http1.Refusal{Status: 408, Section: "RFC 9110 15.5.9", Reason: ReasonBodySlow}
	errBodyLarge = &http1.Refusal{Status: 413, Section: "RFC 9110 15.5.14", Reason: ReasonBodyLarge}
	errBodyShort = &http1.Refusal{Status: 400, Section: "RFC 9112 8", Reason: ReasonBodyShort}
)

func (s *Server) refused(r Refused) {
	if s.o.OnRefusal != nil {
		s.o.OnRefusal(r)
	}
}

// count tells of a refusal of x on c.
func (s *Server) count(r *http1.Refusal, c *conn, x *exchange.Exchange) {
	s.refused(Refused{c.remote, x.Conn.Protocol, string(x.ID[:]), r.Status, r.Section, r.Reason})
}

// refuse makes r the response of x, and counts it.
func (s *Server) refuse(r *http1.Refusal, c *conn, x *exchange.Exchange) {
	s.count(r, c, x)
	problem.ForStatus(r.Status).Problem().Write(x)
	x.Response.Status = r.Status
}

// bodyFault is what a handler that reads the body of x is told of err: a problem, so
// that it can be the answer. It is counted.
func (s *Server) bodyFault(err error, c *conn, x *exchange.Exchange) error {
	r, ok := errors.AsType[*http1.Refusal](err)
	switch {
	case ok:
	case errors.Is(err, exchange.ErrBodyTooLarge):
		r = errBodyLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		r = errBodySlow
	default:
		r = errBodyShort
	}
	s.count(r, c, x)
	return problem.New(problem.ForStatus(r.Status), err)
}
