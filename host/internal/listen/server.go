package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/http2"
	"github.com/wasmgate/wasmgate/host/internal/socket"
)

// Server serves two listeners. Make one with [New]; it serves once.
type Server struct {
	o       Options
	tls     *tls.Config
	http2   *http2.Server // nil without HTTPS
	plain   exchange.Handler
	warden  warden
	lot     *lot
	syntax  http1.Limits // of strangers
	trusted http1.Limits // of trusted proxies

	serial   atomic.Uint64  // of the last connection that was described
	retiring atomic.Bool    // every answer is the last of its connection
	draining atomic.Bool    // and connections without a request are closed
	running  sync.WaitGroup // connections
	stopped  chan struct{}  // closed when accepting is to end
	stop     sync.Once
	accepted chan struct{} // closed when nothing is accepted any more
	served   chan struct{} // closed when Serve returns

	mu      sync.Mutex
	conns   []*conn // unordered; conn.index is its place
	perAddr map[netip.Addr]int
	closed  bool
}

// New checks o; it opens nothing.
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Server{o: o, stopped: make(chan struct{}), accepted: make(chan struct{}), served: make(chan struct{}), perAddr: make(map[netip.Addr]int)}
	s.syntax, s.trusted = o.Limits.syntax(false), o.Limits.syntax(true)
	s.warden.init(s)
	s.plain = &redirector{port: o.RedirectPort, challenge: o.Challenge}
	if o.HTTPS != nil {
		s.tls = o.TLS.Clone()
		s.tls.MinVersion = max(s.tls.MinVersion, tls.VersionTLS12)
		if len(s.tls.NextProtos) == 0 {
			s.tls.NextProtos = []string{"h2", "http/1.1"}
		}
		// crypto/tls refuses a client that offers only what is not listed (curl --http1.0).
		if slices.Contains(s.tls.NextProtos, "http/1.1") {
			s.tls.NextProtos = append(slices.Clip(s.tls.NextProtos), "http/1.0")
		}
		// Full records from the start: ours are answers that are ready, and each record
		// is a system call.
		s.tls.DynamicRecordSizingDisabled = true
		s.http2 = newHTTP2(s)
	}
	return s, nil
}

// Serve accepts until ctx ends or [Server.Shutdown] is called. When ctx ends, it closes
// every connection. It returns when nothing of the server runs any more; the error is
// that of a listener that broke.
func (s *Server) Serve(ctx context.Context) error {
	defer close(s.served)
	var err error
	if s.lot, err = newLot(); err != nil {
		s.stopAccepting()
		close(s.accepted)
		return err
	}
	wardenDone := make(chan struct{})
	wardenStop := make(chan struct{})
	go func() { // ends with wardenStop; waited for below
		defer close(wardenDone)
		s.warden.run(wardenStop)
	}()
	cancelled := context.AfterFunc(ctx, func() {
		s.stopAccepting()
		s.closeAll()
	})
	var (
		accepting sync.WaitGroup
		errs      [2]error
	)
	for i, l := range []net.Listener{s.o.HTTPS, s.o.HTTP} {
		if l != nil {
			accepting.Go(func() { errs[i] = s.accept(l, i == 0) }) // ends when l is closed
		}
	}
	accepting.Wait()
	close(s.accepted)
	s.running.Wait()
	if s.http2 != nil {
		s.http2.Close()
	}
	s.lot.close()
	cancelled()
	close(wardenStop)
	<-wardenDone
	return errors.Join(errs[:]...)
}

// Retire stops accepting and makes every answer the last of its connection, with
// Connection: close or GOAWAY. A connection that waits for a request stays open for
// Timeouts.Idle, since its client may just be sending one, which would be lost. Retire
// waits for Serve to have stopped accepting and for no more: see [Server.Done], and
// [Server.Shutdown] may follow. It is idempotent.
func (s *Server) Retire() {
	s.retiring.Store(true)
	s.stopAccepting()
	if s.http2 != nil {
		s.http2.Drain()
	}
	<-s.accepted
}

// Done is closed when Serve returns.
func (s *Server) Done() <-chan struct{} { return s.served }

// Shutdown stops accepting, closes idle connections, lets requests in flight finish and
// returns when the last connection has ended. When ctx ends first, it closes the rest
// and returns ctx's error. It is idempotent.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock() // no connection is added after this
	s.retiring.Store(true)
	s.draining.Store(true)
	s.mu.Unlock()
	s.stopAccepting()
	s.warden.closeIdle()
	if s.http2 != nil {
		s.http2.Drain()
	}
	done := make(chan struct{})
	go func() { // ends with the last connection, which closeAll sees to
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.closeAll()
		<-done
		return ctx.Err()
	}
}

// Connections is the number of open connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *Server) stopAccepting() {
	s.stop.Do(func() {
		close(s.stopped)
		for _, l := range []net.Listener{s.o.HTTPS, s.o.HTTP} {
			if l != nil {
				l.Close()
			}
		}
	})
}

// closeAll ends every connection at once, whatever it does.
func (s *Server) closeAll() {
	s.mu.Lock()
	s.closed = true
	conns := slices.Clone(s.conns)
	s.mu.Unlock()
	for _, c := range conns {
		c.cancel()
		c.call(func() { c.raw.Close() })
	}
}

// accept takes connections from l until it is closed.
func (s *Server) accept(l net.Listener, secure bool) error {
	pause := 5 * time.Millisecond
	for {
		raw, err := l.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
			s.admit(socket.Wrap(raw), secure)
			continue
		}
		select {
		case <-s.stopped:
			return nil
		default:
		}
		// Anything but a closed listener passes (no descriptors left, a client that was
		// faster gone): the gateway must outlive it.
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		s.o.Logger.Error("accept connection", "address", l.Addr().String(), "error", err)
		select {
		case <-s.stopped:
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Second)
	}
}

// admit starts a connection within the limits, or closes it.
func (s *Server) admit(raw net.Conn, secure bool) {
	c := newConn(s, raw, secure)
	reason := s.add(c)
	if reason != "" {
		raw.Close()
		s.refused(Refused{Remote: c.remote, Reason: reason})
		return
	}
	go c.run() // ends when the connection is closed or parked; s.running waits for it
}

// add registers c; it says why not.
func (s *Server) add(c *conn) (reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.draining.Load():
		return ReasonStopping
	case len(s.conns) >= s.o.Limits.Connections:
		return ReasonConnections
	case !c.proxied: // else its address is not known yet
		if reason := s.countLocked(c); reason != "" {
			return reason
		}
	}
	c.index = len(s.conns)
	s.conns = append(s.conns, c)
	s.running.Add(1)
	return ""
}

// countAddress counts c among the connections of its address; it says why not.
func (s *Server) countAddress(c *conn) (reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.countLocked(c)
}

func (s *Server) countLocked(c *conn) (reason string) {
	addr, per := countedAs(c.remote.Addr()), s.o.Limits.ConnectionsPerAddress
	switch {
	case per <= 0:
		return ""
	case s.perAddr[addr] >= per:
		return ReasonAddress
	}
	s.perAddr[addr]++
	c.counted = addr
	return ""
}

// countedAs is what stands for a client among those that are counted: of IPv6, the network of 64
// bits that anybody gets who gets an address.
func countedAs(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		network, _ := addr.Prefix(64) // fails for no such address
		return network.Addr()
	}
	return addr
}

// remove forgets c.
func (s *Server) remove(c *conn) {
	s.mu.Lock()
	last := s.conns[len(s.conns)-1]
	s.conns[c.index], last.index = last, c.index
	s.conns[len(s.conns)-1] = nil
	s.conns = s.conns[:len(s.conns)-1]
	if addr := c.counted; addr.IsValid() {
		if s.perAddr[addr]--; s.perAddr[addr] <= 0 {
			delete(s.perAddr, addr)
		}
	}
	s.mu.Unlock()
	s.running.Done()
}
