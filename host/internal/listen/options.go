package listen

import (
	"cmp"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// Options are what a [Server] works with. Listeners are closed by the server.
type Options struct {
	// HTTPS carries TLS with HTTP/1.1 and HTTP/2; nil serves none.
	HTTPS net.Listener
	// HTTP is the plain listener; nil serves none. It redirects and answers ACME.
	HTTP net.Listener
	// TLS is the configuration of HTTPS, with its certificates; required with HTTPS. A
	// copy is used, with versions below 1.2 switched off and ALPN h2 and http/1.1 if it has none.
	TLS *tls.Config
	// Handler answers the requests of HTTPS; required with HTTPS. A panic in it costs its
	// request only.
	Handler exchange.Handler
	// Challenge answers /.well-known/acme-challenge/ on HTTP (RFC 8555 8.3); nil answers none.
	Challenge func(host, path string) (body []byte, ok bool)
	// RedirectPort is the port that HTTP redirects to; 0 is that of HTTPS, and 443 without it.
	RedirectPort uint16
	// Limits, its zero fields being the defaults.
	Limits Limits
	// Timeouts, its zero fields being the defaults.
	Timeouts Timeouts
	// OnRefusal learns of every refused connection and request; nil tells nobody. It is
	// called on many goroutines and must not wait.
	OnRefusal func(Refused)
	// OnConnection learns of a connection once its protocol is known and again when it
	// ends; nil tells nobody. It is called on many goroutines and must not wait.
	OnConnection func(protocol string, open bool)
	// Logger takes panics and accept errors; nil is slog.Default.
	Logger *slog.Logger
	// Random gives request ids and seeds; nil is the process's ChaCha8 generator. It is
	// called on many goroutines.
	Random func() uint64

	rest time.Duration // of an idle connection, before it parks; 0 is restAfter
}

// Limits bound what clients may take. A zero field is its default.
type Limits struct {
	Connections           int   // at once; 10,000
	ConnectionsPerAddress int   // at once from one IPv4 address or IPv6 network of 64 bits; 0 is no limit
	Fields                int   // in a head; 200
	HeadBytes             int   // of a head; 64 KiB
	TargetBytes           int   // of a path with its query; 10,240
	BodyBytes             int64 // of a request body; 10 MiB, Amazon's payload limit
	Streams               int   // of an HTTP/2 connection, at once; 100
	Abandoned             int   // HTTP/2 requests at once that are worked on for nobody; 300
	Drain                 int64 // of an unread body, read to keep the connection; 256 KiB
	Trace                 bool  // TRACE reaches the handler
	// Proxied tells whether connections from an address, on both listeners, begin with a PROXY
	// protocol header, version 1 or 2, which tells the client's address; nil says of none.
	// Without a well-formed header such a connection is closed.
	Proxied func(netip.Addr) bool
	// Trusted tells whether an address is a proxy whose X-Forwarded-* and Forwarded are
	// kept; nil trusts nobody.
	Trusted func(netip.Addr) bool
}

// Timeouts bound how long a client may take. A zero field is its default. They are kept
// to a quarter of a second, or to an eighth of the shortest when that is less.
type Timeouts struct {
	Hello time.Duration // TLS handshake; 10 s
	Head  time.Duration // a head, from its first byte; 10 s
	Body  time.Duration // between bytes of a body; 30 s
	Idle  time.Duration // between requests; 60 s
	// Write is how long 16 KiB of an answer may take, which also bounds the rate below
	// which a reader is cut off; 30 s.
	Write time.Duration
	// BodyRate is the least bytes a second of a body, counted while the server waits for
	// it and after the first ten seconds of that; 240. Negative asks for none.
	BodyRate int64
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// complete checks o and fills in the defaults.
func (o *Options) complete() error {
	if o.HTTPS == nil && o.HTTP == nil {
		return errors.New("listen: no listener")
	}
	if o.HTTPS != nil && (o.TLS == nil || o.Handler == nil) {
		return errors.New("listen: HTTPS wants TLS and Handler")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	if o.RedirectPort == 0 {
		o.RedirectPort = 443
		if o.HTTPS != nil {
			o.RedirectPort = addrPort(o.HTTPS.Addr()).Port()
		}
	}
	o.rest = cmp.Or(o.rest, restAfter)
	l := &o.Limits
	l.Connections = cmp.Or(l.Connections, 10_000)
	l.Fields = cmp.Or(l.Fields, 200)
	l.HeadBytes = cmp.Or(l.HeadBytes, 64*kib)
	l.TargetBytes = cmp.Or(l.TargetBytes, 10*kib)
	l.BodyBytes = cmp.Or(l.BodyBytes, 10*mib)
	l.Streams = cmp.Or(l.Streams, 100)
	l.Abandoned = cmp.Or(l.Abandoned, 300)
	l.Drain = cmp.Or(l.Drain, 256*kib)
	t := &o.Timeouts
	t.Hello = cmp.Or(t.Hello, 10*time.Second)
	t.Head = cmp.Or(t.Head, 10*time.Second)
	t.Body = cmp.Or(t.Body, 30*time.Second)
	t.Idle = cmp.Or(t.Idle, 60*time.Second)
	t.Write = cmp.Or(t.Write, 30*time.Second)
	t.BodyRate = cmp.Or(t.BodyRate, 240)
	return nil
}

// syntax are the limits as http1 takes them.
func (l *Limits) syntax(trusted bool) http1.Limits {
	return http1.Limits{Fields: l.Fields, Head: l.HeadBytes, Target: l.TargetBytes, Trace: l.Trace, Trusted: trusted}
}

// addrPort is a network address without zone and IPv4 mapping; zero when it has no port.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
