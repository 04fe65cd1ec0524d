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
	info    *exchange.Conn
	info10  *exchange.Conn // of HTTP/1.0 requests, made when there is one
	ctx     context.Context
	cancel  context.CancelFunc
	index   int // in Server.conns, guarded by its lock

	phase phase
	late  atomic.Bool // the warden ended a phase

	reader http1.Reader
	req    http1.Request
	head   http1.ResponseHead
	body   clientBody
	inform func(int, *exchange.Header) error
}

func newConn(s *Server, raw net.Conn, secure bool) *conn {
	c := &conn{s: s, raw: raw, rw: raw, remote: addrPort(raw.RemoteAddr()), handler: s.plain, syntax: &s.syntax}
	if t := s.o.Limits.Trusted; t != nil && t(c.remote.Addr()) {
		c.syntax = &s.trusted
	}
	if secure {
		c.tls = tls.Server(raw, s.tls)
		c.rw, c.handler = c.tls, s.o.Handler
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.inform = c.sendInformational
	return c
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
		c.raw.SetDeadline(time.Unix(1, 0))
	}
}

// revive takes back what end did, so that the client can be told.
func (c *conn) revive() {
	if c.late.Swap(false) {
		c.raw.SetDeadline(time.Time{})
	}
}

// serve runs the connection to its end.
func (c *conn) serve() {
	defer c.s.remove(c)
	defer c.cancel()
	defer c.rw.Close() // with close_notify
	defer func() {
		if p := recover(); p != nil { // ours, not the handler's: see handle
			c.s.o.Logger.Error("serve connection: panic", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	protocol := "HTTP/1.1"
	if c.tls != nil {
		var ok bool
		if protocol, ok = c.shakeHands(); !ok {
			return
		}
	}
	c.describe(protocol)
	if f := c.s.o.OnConnection; f != nil {
		f(protocol, true)
		defer f(protocol, false)
	}
	if protocol == "HTTP/2.0" {
		c.serveHTTP2()
		return
	}
	c.reader.Reset(c.rw)
	defer c.reader.Reset(nil)
	c.serveHTTP1()
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

// describe fills what the requests of the connection share.
func (c *conn) describe(protocol string) {
	c.info = &exchange.Conn{Protocol: protocol, ID: c.s.serial.Add(1), Local: addrPort(c.raw.LocalAddr())}
	if c.tls == nil {
		return
	}
	state := c.tls.ConnectionState()
	c.info.TLSVersion = "TLSv1.2"
	if state.Version == tls.VersionTLS13 {
		c.info.TLSVersion = "TLSv1.3"
	}
	c.info.CipherSuite = tls.CipherSuiteName(state.CipherSuite)
	c.info.ServerName = strings.ToLower(state.ServerName)
	if len(state.VerifiedChains) > 0 {
		c.info.PeerCertificates = state.VerifiedChains[0]
	}
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
	if t, ok := c.raw.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.raw.Close()
}

// onlyReader hides WriteTo, so that io.CopyBuffer uses the buffer it is given.
type onlyReader struct{ io.Reader }
