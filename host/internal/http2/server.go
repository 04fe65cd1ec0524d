package http2

import (
	"errors"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// Options are what a [Server] works with. Every field is required unless it says otherwise.
type Options struct {
	// Handler answers requests; a panic in it is its own business. If it is an
	// [exchange.Finisher] it is told of each answer's end.
	Handler exchange.Handler
	// Identify gives an exchange its id and seed. It is called on many goroutines.
	Identify func(*exchange.Exchange)
	// Now is a clock in nanoseconds that never goes back and is never 0; it need not be
	// finer than the ticks.
	Now func() int64
	// Date is the value of the Date field.
	Date func() string
	// OnRefusal learns of what was refused: x is nil when it was not a request or its
	// client was told no id. Status is 0 when no status was sent. It must not wait, nor call
	// the server.
	OnRefusal func(p *Peer, x *exchange.Exchange, r *http1.Refusal)
	// Logger takes what only the operator can mend.
	Logger *slog.Logger

	Syntax    http1.Limits  // of heads; whether the peer is trusted is said by [Peer]
	Streams   int           // at once on a connection, those counted whose handlers still run after a reset
	Abandoned int           // requests on all connections whose handlers run for nobody; 0 is no limit
	BodyBytes int64         // of a request body
	Head      time.Duration // a frame or header block, from its first byte
	Body      time.Duration // between bytes of a body
	Idle      time.Duration // between requests
	Rest      time.Duration // of a connection without streams, before its Transport may rest
	Write     time.Duration // 16 KiB of an answer
	// BodyRate is the least bytes a second of a body, counted while the server waits for
	// it and after the first ten seconds of that; none when negative.
	BodyRate int64
}

// Peer is the other end of a connection.
type Peer struct {
	Transport Transport
	Remote    netip.AddrPort
	Info      *exchange.Conn
	Trusted   bool // its X-Forwarded-* and Forwarded pass
}

// Transport carries one connection. Read and Write are each called by one goroutine at a
// time, everything else by any.
type Transport interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	// SetReadDeadline is called with a time in the past, to wake Read.
	SetReadDeadline(t time.Time) error
	// Rest is called when Read has waited for long and no stream is open: it may make that
	// Read return [ErrRest]. It must not wait.
	Rest()
	// Linger ends the connection so that the client still gets what was written.
	Linger()
	// Abort ends the connection at once; Read and Write return.
	Abort()
}

// What clients may send ahead of handlers that do not read.
const (
	streamWindowSize = 256 << 10
	connWindowSize   = 1 << 20
)

// Server serves connections. Make one with [New]; safe for concurrent use.
type Server struct {
	o        Options
	finisher exchange.Finisher // nil when the handler is none
	hello    []byte            // our first frames
	seed     maphash.Seed
	workers  workers
	orphans  orphans

	mu       sync.Mutex
	conns    []*conn
	ticking  []*conn // scratch of Tick
	draining bool
}

// New makes a server; [Server.Close] ends it.
func New(o Options) *Server {
	s := &Server{o: o, seed: maphash.MakeSeed()}
	s.finisher, _ = o.Handler.(exchange.Finisher)
	s.hello = s.appendHello(nil)
	return s
}

// ErrRest is what a Transport's Read returns to give its goroutine up while nothing comes.
var ErrRest = errors.New("the connection rests")

// Session is a connection that is served.
type Session struct{ c *conn }

// Open begins to serve a connection; [Session.Serve] must follow.
func (s *Server) Open(p Peer) *Session {
	c := newConn(s, p)
	s.mu.Lock()
	c.index = len(s.conns)
	s.conns = append(s.conns, c)
	c.drained.late = s.draining
	s.mu.Unlock()
	c.mu.Lock()
	c.append(s.hello)
	c.mu.Unlock()
	return &Session{c}
}

// Serve serves the connection. It returns false when nothing of it runs any more and the
// transport was ended; true when the transport rests: it is to be called again when bytes
// have come or the transport was ended, or woken by SetReadDeadline.
func (ss *Session) Serve() (rests bool) {
	err := ss.c.read()
	if err == ErrRest {
		return true
	}
	ss.c.end(err)
	ss.c.s.forget(ss.c)
	return false
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	last := s.conns[len(s.conns)-1]
	s.conns[c.index], last.index = last, c.index
	s.conns[len(s.conns)-1] = nil
	s.conns = s.conns[:len(s.conns)-1]
	s.mu.Unlock()
}

// Tick looks at all deadlines. It is to be called by one goroutine, a few times within the
// shortest of them.
func (s *Server) Tick() {
	now := s.o.Now()
	s.mu.Lock()
	s.ticking = append(s.ticking[:0], s.conns...)
	s.mu.Unlock()
	for i, c := range s.ticking {
		c.tick(now)
		s.ticking[i] = nil
	}
	s.workers.prune(now)
}

// Drain tells all clients to send no further requests; connections end with their last
// stream (RFC 9113 6.8). It does not wait.
func (s *Server) Drain() {
	s.mu.Lock()
	s.draining = true
	conns := slices.Clone(s.conns)
	s.mu.Unlock()
	for _, c := range conns {
		c.drain()
	}
}

// Close waits for the goroutines of the server; every [Session.Serve] must have returned false.
func (s *Server) Close() { s.workers.close() }

func (s *Server) refused(p *Peer, x *exchange.Exchange, r *http1.Refusal) {
	if s.o.OnRefusal != nil {
		s.o.OnRefusal(p, x, r)
	}
}
