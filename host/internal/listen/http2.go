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
		Syntax:    s.syntax, Streams: o.Limits.Streams, Abandoned: o.Limits.Abandoned, BodyBytes: o.Limits.BodyBytes,
		Head: o.Timeouts.Head, Body: o.Timeouts.Body, Idle: o.Timeouts.Idle, Write: o.Timeouts.Write,
		Rest: o.rest, BodyRate: o.Timeouts.BodyRate,
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

// beginHTTP2 makes c an HTTP/2 connection, whose time http2 keeps.
func (c *conn) beginHTTP2() {
	c.phase.Store(0)
	c.session = c.s.http2.Open(http2.Peer{Transport: multiplexed{c}, Remote: c.remote, Info: c.info, Trusted: c.syntax.Trusted})
}

// guarded is the handler with its panics caught.
type guarded struct{ s *Server }

func (g guarded) ServeExchange(x *exchange.Exchange)             { g.s.handle(g.s.o.Handler, x) }
func (g guarded) FinishExchange(x *exchange.Exchange, err error) { g.s.finish(g.s.o.Handler, x, err) }

// multiplexed is a connection as http2 sees it.
type multiplexed struct{ c *conn }

func (m multiplexed) Read(p []byte) (int, error) {
	n, err := m.c.rw.Read(p)
	if err != nil && m.c.resting.Load() != notResting && m.c.rested() {
		return n, http2.ErrRest
	}
	return n, err
}

func (m multiplexed) Write(p []byte) (int, error) { return m.c.rw.Write(p) }

func (m multiplexed) SetReadDeadline(t time.Time) (err error) {
	m.c.call(func() { err = m.c.raw.SetReadDeadline(t) })
	return err
}

func (m multiplexed) Rest() {
	m.c.resting.Store(putToRest)
	m.c.raw.SetReadDeadline(past)
}

func (m multiplexed) Abort() { m.c.call(func() { m.c.raw.Close() }) }

func (m multiplexed) Linger() {
	m.c.raw.SetDeadline(time.Time{})
	m.c.linger()
}
