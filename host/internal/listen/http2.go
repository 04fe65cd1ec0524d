package listen

import (
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/http2"
)

// newHTTP2 makes the server of connections on which HTTP/2 was agreed.
func newHTTP2(s *Server) *http2.Server {
	o := &s.o
	return http2.New(http2.Options{
		Handler: guarded{s}, Identify: s.identify, Logger: o.Logger,
		Now: s.warden.now.Load, Date: func() string { return *s.warden.date.Load() },
		OnRefusal: s.countHTTP2,
		Syntax:    s.syntax, Streams: o.Limits.Streams, BodyBytes: o.Limits.BodyBytes,
		Head: o.Timeouts.Head, Body: o.Timeouts.Body, Idle: o.Timeouts.Idle, Write: o.Timeouts.Write,
		BodyRate: o.Timeouts.BodyRate,
	})
}

// countHTTP2 tells of a refusal; who got no id was told no status.
func (s *Server) countHTTP2(p *http2.Peer, x *exchange.Exchange, r *http1.Refusal) {
	refused := Refused{Remote: p.Remote, Protocol: p.Info.Protocol, Section: r.Section, Reason: r.Reason}
	if x != nil {
		refused.ID, refused.Status = string(x.ID[:]), r.Status
	}
	s.refused(refused)
}

// serveHTTP2 runs an HTTP/2 connection to its end.
func (c *conn) serveHTTP2() {
	c.phase.Store(0)
	c.s.http2.Serve(http2.Peer{Transport: multiplexed{c}, Remote: c.remote, Info: c.info, Trusted: c.syntax.Trusted})
}

// guarded is the handler with its panics caught.
type guarded struct{ s *Server }

func (g guarded) ServeExchange(x *exchange.Exchange)             { g.s.handle(g.s.o.Handler, x) }
func (g guarded) FinishExchange(x *exchange.Exchange, err error) { g.s.finish(g.s.o.Handler, x, err) }

// multiplexed is a connection as http2 sees it.
type multiplexed struct{ c *conn }

func (m multiplexed) Read(p []byte) (int, error)        { return m.c.rw.Read(p) }
func (m multiplexed) Write(p []byte) (int, error)       { return m.c.rw.Write(p) }
func (m multiplexed) SetReadDeadline(t time.Time) error { return m.c.raw.SetReadDeadline(t) }
func (m multiplexed) Abort()                            { m.c.raw.Close() }

func (m multiplexed) Linger() {
	m.c.raw.SetDeadline(time.Time{})
	m.c.linger()
}
