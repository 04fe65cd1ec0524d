package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
	"github.com/wasmgate/wasmgate/host/internal/http2"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// conn is one connection. Its goroutine owns everything but phase, late and raw's
// deadlines, which the warden sets too.
type conn struct {
	s       *Server
	raw     net.Conn  // the socket
	rw      net.Conn  // raw, or TLS over it
	tls     *tls.Conn // nil on the plain listener
	handler exchange.Handler
	syntax  *http1.Limits
	remote  netip.AddrPort
	proxied bool // it begins with a PROXY protocol header, which tells remote
	info    *exchange.Conn
	info10  *exchange.Conn // of HTTP/1.0 requests, made when there is one
	ctx     context.Context
	cancel  context.CancelFunc
	index   int        // in Server.conns, guarded by its lock
	counted netip.Addr // in Server.perAddr, guarded by its lock; zero when it is not

	phase phase
	late  atomic.Bool // the warden ended a phase
	parking
	place uint64 // in the lot, guarded by its lock

	session *http2.Session     // nil for HTTP/1.1
	x       *exchange.Exchange // of the last request and the next; nil after a rest
	idling  bool               // the phase between two requests has begun
	reader  http1.Reader
	req     http1.Request
	head    http1.ResponseHead
	body    clientBody
	inform  func(int, *exchange.Header) error
}

func newConn(s *Server, raw net.Conn, secure bool) *conn {
	c := &conn{s: s, raw: raw, rw: raw, remote: addrPort(raw.RemoteAddr()), handler: s.plain}
	if p := s.o.Limits.Proxied; p != nil && p(c.remote.Addr()) {
		c.proxied = true
	}
	c.trust()
	if secure {
		c.tls = tls.Server(raw, s.tls)
		c.rw, c.handler = c.tls, s.o.Handler
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.inform = c.sendInformational
	return c
}

// trust finds the rules for heads that come from c.remote.
func (c *conn) trust() {
	c.syntax = &c.s.syntax
	if t := c.s.o.Limits.Trusted; t != nil && t(c.remote.Addr()) {
		c.syntax = &c.s.trusted
	}
}

// enter starts a phase of d.
func (c *conn) enter(d time.Duration) { c.phase.Store(c.s.warden.until(d)) }

// enterIdle starts the phase between two requests.
func (c *conn) enterIdle() { c.phase.Store(c.s.warden.until(c.s.o.Timeouts.Idle) | 1) }

// enterHandler starts the phase that has no limit here.
func (c *conn) enterHandler() { c.phase.Store(-c.s.warden.now.Load()) }

// end makes all reads and writes fail, if the phase is still v.
func (c *conn) end(v int64) {
	if c.phase.CompareAndSwap(v, 0) {
		c.late.Store(true)
		c.call(func() { c.raw.SetDeadline(past) })
	}
}

// revive takes back what end did, so that the client can be told.
func (c *conn) revive() {
	if c.late.Swap(false) {
		c.raw.SetDeadline(time.Time{})
	}
}

// run serves the connection until it ends or rests.
func (c *conn) run() {
	rests := false
	defer func() {
		if p := recover(); p != nil { // ours, not the handler's: see handle
			c.s.o.Logger.Error("serve connection: panic", "panic", p, "stack", string(debug.Stack()))
		}
		if rests {
			c.park()
		} else {
			c.close()
		}
	}()
	if c.info == nil && !c.begin() {
		return
	}
	if c.session != nil {
		rests = c.session.Serve()
	} else {
		rests = c.serveHTTP1()
	}
}

// begin is what comes before the first request; false when there will be none.
func (c *conn) begin() bool {
	if c.proxied && !c.learn() {
		return false
	}
	protocol := "HTTP/1.1"
	if c.tls != nil {
		var ok bool
		if protocol, ok = c.shakeHands(); !ok {
			return false
		}
	}
	c.info = c.describe(protocol)
	if f := c.s.o.OnConnection; f != nil {
		f(protocol, true)
	}
	if protocol == "HTTP/2.0" {
		c.beginHTTP2()
	} else {
		c.reader.Reset(c.rw)
	}
	return true
}

// close ends the connection.
func (c *conn) close() {
	if c.s.lot != nil {
		c.s.lot.remove(c)
	}
	if f := c.s.o.OnConnection; f != nil && c.info != nil {
		f(c.info.Protocol, false)
	}
	c.reader.Reset(nil)
	c.lighten()
	c.rw.Close() // with close_notify
	c.cancel()
	c.s.remove(c)
}

// lighten gives back what an idle connection does not need.
func (c *conn) lighten() {
	c.reader.Rest()
	if c.info != nil {
		c.info.Memo.Store(nil)
	}
	if c.x != nil {
		c.x.Release()
		c.x = nil
	}
}

// shakeHands does the TLS handshake; ok is false when the connection is of no use.
func (c *conn) shakeHands() (protocol string, ok bool) {
	c.enter(c.s.o.Timeouts.Hello)
	if err := c.tls.Handshake(); err != nil {
		reason := ReasonHello
		if c.late.Load() {
			reason = ReasonHelloSlow
		}
		c.s.refused(Refused{Remote: c.remote, Reason: reason})
		return "", false
	}
	switch c.tls.ConnectionState().NegotiatedProtocol {
	case "h2":
		return "HTTP/2.0", true
	case "", "http/1.1", "http/1.0":
		return "HTTP/1.1", true
	}
	return "", false // acme-tls/1: the handshake was all (RFC 8737 3)
}

// describe is what the requests of the connection share.
func (c *conn) describe(protocol string) *exchange.Conn {
	info := &exchange.Conn{Protocol: protocol, ID: c.s.serial.Add(1), Local: addrPort(c.raw.LocalAddr())}
	if c.tls == nil {
		return info
	}
	state := c.tls.ConnectionState()
	info.TLSVersion = "TLSv1.2"
	if state.Version == tls.VersionTLS13 {
		info.TLSVersion = "TLSv1.3"
	}
	info.CipherSuite = tls.CipherSuiteName(state.CipherSuite)
	info.ServerName = strings.ToLower(state.ServerName)
	if len(state.VerifiedChains) > 0 {
		info.PeerCertificates = state.VerifiedChains[0]
	}
	return info
}

// handle runs the handler; a panic in it costs this request only.
func (s *Server) handle(h exchange.Handler, x *exchange.Exchange) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("handle request: panic", "request_id", string(x.ID[:]), "panic", p, "stack", string(debug.Stack()))
			problem.Internal.Problem().Write(x)
			x.Response.CloseConnection = true
		}
	}()
	h.ServeExchange(x)
}

// errBroken tells a handler that its answer did not arrive as a whole.
var errBroken = errors.New("the answer was broken off")

// finish tells the handler that its answer is out, or why it was broken off.
func (s *Server) finish(h exchange.Handler, x *exchange.Exchange, err error) {
	f, ok := h.(exchange.Finisher)
	if !ok {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("finish request: panic", "request_id", string(x.ID[:]), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	f.FinishExchange(x, err)
}

// identify gives x its id, a random UUID (RFC 9562 5.4), and its seed.
func (s *Server) identify(x *exchange.Exchange) {
	const hex = "0123456789abcdef"
	hi, lo := s.o.Random(), s.o.Random()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 2<<62
	at := 0
	for i := range 16 {
		b := byte(hi >> (56 - 8*i%64))
		if i >= 8 {
			b = byte(lo >> (56 - 8*(i-8)))
		}
		if i == 4 || i == 6 || i == 8 || i == 10 {
			x.ID[at] = '-'
			at++
		}
		x.ID[at], x.ID[at+1] = hex[b>>4], hex[b&15]
		at += 2
	}
	x.Seed = s.o.Random()
}

// linger closes the sending side and takes what the client still sends, within bounds:
// closing with bytes unread makes the kernel reset the connection, and the client would
// lose the answer that tells it why (RFC 9112 9.6).
func (c *conn) linger() {
	const patience = 2 * time.Second
	c.revive()
	c.enter(patience)
	if c.tls != nil {
		c.tls.CloseWrite()
	}
	if t, ok := c.raw.(interface{ CloseWrite() error }); ok {
		t.CloseWrite()
	}
	buf := getBuffer()
	defer putBuffer(buf)
	io.CopyBuffer(io.Discard, io.LimitReader(onlyReader{c.raw}, c.s.o.Limits.Drain), buf[:])
}

// abort ends the connection so that the client cannot take a truncated answer for a
// whole one: without close_notify, with a reset.
func (c *conn) abort() {
	if t, ok := c.raw.(interface{ SetLinger(sec int) error }); ok {
		t.SetLinger(0)
	}
	c.raw.Close()
}

// onlyReader hides WriteTo, so that io.CopyBuffer uses the buffer it is given.
type onlyReader struct{ io.Reader }
