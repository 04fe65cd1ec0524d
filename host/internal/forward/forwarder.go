package forward

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// Options are for [New].
type Options struct {
	// Connect bounds resolving, dialling and handshake together, and the wait for a free
	// connection; 0 is 5 seconds.
	Connect time.Duration
	// FirstByte bounds the wait from the request sent to the first byte of an answer; 0 is 60 seconds.
	FirstByte time.Duration
	// Idle bounds each wait for further bytes of an answer, or for the upstream to take more
	// of a request; 0 is 60 seconds. A client that reads slowly does not use it up.
	Idle time.Duration
	// KeepIdle is how long an unused connection is kept; 0 is 60 seconds.
	KeepIdle time.Duration
	// KeepFor is how old a connection may be when it is used again, so that changes of
	// addresses take effect; 0 is 5 minutes.
	KeepFor time.Duration
	// MaxConns bounds the open connections to one upstream; who finds none free waits. 0 is 512.
	MaxConns int
	// MaxIdle bounds the unused connections kept to one upstream; 0 is 128.
	MaxIdle int
	// MaxUpstreams bounds the upstreams known at once, since hosts can be computed; 0 is 10,000.
	MaxUpstreams int
	// Retries is how many repeated calls there may be for one call, in the long run; 0 is 0.2,
	// less is none.
	Retries float64
	// Resolve is how long addresses are used before they are asked for again; 0 is 30 seconds.
	Resolve time.Duration
	// Roots are the accepted certificate authorities; nil is the system's.
	Roots *x509.CertPool
	// Allow names what hosts computed at request time may reach beside public addresses:
	// CIDRs, addresses, hosts and *.domain.
	Allow []string
	// Resolver is nil for Go's.
	Resolver Resolver
	// Dial connects to an address and port; nil is a [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger takes what no caller is told; nil drops it.
	Logger *slog.Logger
	// Observe is told of every call as Do returns: its upstream, the kind of error or "",
	// and the time to the head of the answer. nil is nobody. It must not block.
	Observe func(upstream string, failure Kind, latency time.Duration)
}

func (o *Options) fill() {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&o.Connect, 5*time.Second)
	set(&o.FirstByte, time.Minute)
	set(&o.Idle, time.Minute)
	set(&o.KeepIdle, time.Minute)
	set(&o.KeepFor, 5*time.Minute)
	set(&o.Resolve, 30*time.Second)
	if o.MaxConns == 0 {
		o.MaxConns = 512
	}
	if o.MaxIdle == 0 {
		o.MaxIdle = 128
	}
	if o.MaxUpstreams == 0 {
		o.MaxUpstreams = 10_000
	}
	if o.Retries == 0 {
		o.Retries = 0.2
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{}
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Target names an upstream. Equal targets are one upstream with one pool.
type Target struct {
	// Scheme is http or https.
	Scheme string
	// Host is a name in lower case or an address, without brackets.
	Host string
	// Port is 0 for the scheme's.
	Port uint16
	// ServerName is what the certificate must be for; empty is Host. https only.
	ServerName string
	// Insecure does not verify the certificate. The connection is then open to anybody on
	// the way: only for Amazon's insecureSkipVerification.
	Insecure bool
	// Computed says that Host was made at request time, from variables or by a plugin: then
	// it reaches special addresses only where Options.Allow says so.
	Computed bool
}

// Forwarder calls upstreams. It is safe for concurrent use and outlives snapshots, so that
// pools do too. Close ends it.
type Forwarder struct {
	options Options
	guard   *guard
	limits  http1.Limits
	budget  budget

	mu        sync.Mutex
	closed    bool
	upstreams map[Target]*Upstream
	stop      chan struct{}
	janitor   sync.WaitGroup
	leaving   sync.WaitGroup // connections that were left
}

// New makes a Forwarder and starts its janitor. An error is about Options.Allow.
func New(o Options) (*Forwarder, error) {
	o.fill()
	g, err := newGuard(o.Allow)
	if err != nil {
		return nil, err
	}
	f := &Forwarder{
		options: o, guard: g, limits: http1.DefaultLimits(),
		upstreams: make(map[Target]*Upstream), stop: make(chan struct{}),
	}
	f.budget.fill(o.Retries)
	f.janitor.Go(f.sweep) // ends with stop; Close waits
	return f, nil
}

// Close closes all unused connections and those that were left, and waits; those in use are closed
// when their call or stream ends. Calls after it fail. It is idempotent.
func (f *Forwarder) Close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.stop)
	}
	upstreams := f.upstreams
	f.upstreams = nil
	f.mu.Unlock()
	for _, u := range upstreams {
		u.shut()
	}
	f.janitor.Wait()
	f.leaving.Wait()
}

// Upstream is the upstream of that target, with the pool of all equal ones. It may be kept
// as long as the Forwarder; one that is not used holds nothing. An error is about the
// target, or of kind Busy when there are too many.
func (f *Forwarder) Upstream(t Target) (*Upstream, error) {
	if t.Port == 0 {
		t.Port = map[string]uint16{"http": 80, "https": 443}[t.Scheme]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.upstreams[t]; u != nil {
		return u, nil
	}
	if err := f.room(); err != nil {
		return nil, err
	}
	u := &Upstream{f: f, target: t, resolving: make(chan struct{}, 1), lastUse: time.Now()}
	host := t.Host
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		host = "[" + host + "]"
	}
	u.authority = host
	switch {
	case host == "" || strings.ContainsAny(t.Host, "/@?# "):
		return nil, failf(RequestInvalid, "upstream host %q", t.Host)
	case t.Scheme == "http":
		if t.Port != 80 {
			u.authority = fmt.Sprintf("%s:%d", host, t.Port)
		}
	case t.Scheme == "https":
		if t.Port != 443 {
			u.authority = fmt.Sprintf("%s:%d", host, t.Port)
		}
		u.tls = &tls.Config{
			ServerName: t.ServerName, RootCAs: f.options.Roots, InsecureSkipVerify: t.Insecure,
			MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(4),
		}
		if t.ServerName == "" {
			u.tls.ServerName = t.Host
		}
	default:
		return nil, failf(RequestInvalid, "upstream scheme %q, want http or https", t.Scheme)
	}
	u.name = t.Scheme + "://" + u.authority
	f.upstreams[t] = u
	return u, nil
}

// Connections calls yield with the open and the unused connections of each upstream.
func (f *Forwarder) Connections(yield func(upstream string, open, idle int)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.upstreams {
		u.mu.Lock()
		open, idle := u.open, len(u.idle)
		u.mu.Unlock()
		yield(u.String(), open, idle)
	}
}

// sweep closes what was unused for too long, and forgets upstreams that nobody calls.
func (f *Forwarder) sweep() {
	ticker := time.NewTicker(max(f.options.KeepIdle/4, 10*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-f.stop:
			return
		case now := <-ticker.C:
			for _, u := range f.all() {
				if u.expire(now) {
					f.forget(u)
				}
			}
		}
	}
}

func (f *Forwarder) all() []*Upstream {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.upstreams))
}

// forget drops an upstream that nobody calls, unless somebody has just called it.
func (f *Forwarder) forget(u *Upstream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.forgotten && f.upstreams[u.target] == u {
		delete(f.upstreams, u.target)
	}
}

// adopt gives an upstream that was forgotten its place back, or the one that took it.
func (f *Forwarder) adopt(u *Upstream) (*Upstream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other := f.upstreams[u.target]; other != nil && other != u {
		return other, nil
	}
	if err := f.room(); err != nil {
		return nil, err
	}
	f.upstreams[u.target] = u
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forgotten, u.lastUse = false, time.Now()
	return u, nil
}

// room tells whether one more upstream may be known.
func (f *Forwarder) room() error {
	switch {
	case f.closed:
		return failf(Closed, "the forwarder is closed")
	case len(f.upstreams) >= f.options.MaxUpstreams:
		return failf(Busy, "%d upstreams are known, the most allowed", len(f.upstreams))
	}
	return nil
}

// budget bounds repeated calls to a share of all: tokens in thousandths.
type budget struct {
	share  int64
	tokens atomic.Int64
}

const budgetBurst = 100_000

func (b *budget) fill(share float64) {
	if share > 0 {
		b.share = int64(share * 1000)
		b.tokens.Store(budgetBurst)
	}
}

func (b *budget) deposit() {
	if b.tokens.Load() < budgetBurst {
		b.tokens.Add(b.share)
	}
}

func (b *budget) spend() bool {
	if b.tokens.Add(-1000) >= 0 {
		return true
	}
	b.tokens.Add(1000)
	return false
}
