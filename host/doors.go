package host

import (
	"context"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wasmgate/wasmgate/host/internal/config"
	"github.com/wasmgate/wasmgate/host/internal/listen"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/route"
	"github.com/wasmgate/wasmgate/host/internal/tls"
)

// door is the listeners for clients with what stands at them.
type door struct {
	sock   [2]net.Listener // https and http
	asked  [2]string       // the addresses as configured
	certs  *tls.Manager
	server *listen.Server
	stop   context.CancelFunc // ends the goroutines of certs and server
	done   sync.WaitGroup     // waits for them
}

func (d *door) https() string { return addrOf(d.sock[0]) }
func (d *door) http() string  { return addrOf(d.sock[1]) }

// openDoor opens the listeners that c names; those that old has at the same address go on
// under the same socket, so that no client in the queue is lost. failed is told when a
// server ends by itself.
func (h *Host) openDoor(c *config.Config, old *door, failed func(error)) (*door, error) {
	certs, err := newCertificates(c, h)
	if err != nil {
		return nil, err
	}
	d := &door{certs: certs, asked: [2]string{c.Listen.HTTPS, c.Listen.HTTP}}
	if d.sock, err = listenBoth(c, old); err != nil {
		return nil, errors.Join(err, certs.Close())
	}
	d.server, err = listen.New(listen.Options{HTTPS: d.sock[0], HTTP: d.sock[1], TLS: certs.Config(), Handler: h.pipeline,
		Challenge: certs.HTTPChallenge, Limits: limits(c), Timeouts: timeouts(&c.Timeouts, c.Limits.MinRate),
		OnRefusal:    h.countRefusal,
		OnConnection: h.countConnection, Logger: h.log})
	if err != nil {
		return nil, errors.Join(err, certs.Close(), closeAll(d.sock))
	}
	certs.SetNames(h.names())
	ctx, stop := context.WithCancel(context.Background()) // ended by close
	d.stop = stop
	// Both end with ctx, or certs.Close and server.Shutdown, and are waited for by close.
	d.done.Go(func() { _ = certs.Run(ctx) }) // it returns nil
	d.done.Go(func() {
		if err := d.server.Serve(ctx); err != nil {
			failed(err)
		}
	})
	return d, nil
}

// retire ends d, which accepts no more, without losing a request: clients go on to the
// door that replaced it when they have their next answer, for which they have the time
// that a connection may be idle. What is left then, or when ctx ends, is closed as by close.
func (d *door) retire(ctx context.Context, t *config.Timeouts, log *slog.Logger) {
	// Certificates are the new door's business now; handshakes under way have theirs.
	if err := d.certs.Close(); err != nil {
		log.Warn("close certificates", "error", err)
	}
	waiting, cancel := context.WithTimeout(ctx, t.Idle)
	select {
	case <-d.server.Done():
	case <-waiting.Done():
	}
	cancel()
	closing, cancel := context.WithTimeout(context.Background(), t.Shutdown)
	defer cancel()
	d.close(closing, log)
}

// close lets requests in flight finish until ctx ends.
func (d *door) close(ctx context.Context, log *slog.Logger) {
	if err := d.server.Shutdown(ctx); err != nil {
		log.Warn("requests in flight were cut off", "error", err)
	}
	d.stop()
	if err := d.certs.Close(); err != nil {
		log.Warn("close certificates", "error", err)
	}
	d.done.Wait()
}

// replaceDoor opens a new door when c asks for one; the old one retires.
func (h *Host) replaceDoor(old, c *config.Config) error {
	if reflect.DeepEqual(old.Listen, c.Listen) && reflect.DeepEqual(old.TLS, c.TLS) && old.Limits == c.Limits && old.Timeouts == c.Timeouts {
		return nil
	}
	h.mu.Lock()
	was := h.door
	h.mu.Unlock()
	d, err := h.openDoor(c, was, h.fail)
	if err != nil {
		return err
	}
	h.mu.Lock()
	ending := h.ending
	if !ending {
		h.door = d
	}
	h.mu.Unlock()
	if ending {
		d.close(h.serving, h.log)
		return errors.New("the host stops")
	}
	was.server.Retire()                                                   // from here on every new connection comes to d
	h.draining.Go(func() { was.retire(h.serving, &old.Timeouts, h.log) }) // drain waits for it
	return nil
}

// countRefusal counts what the door turned away, and logs it when somebody was answered.
func (h *Host) countRefusal(r listen.Refused) {
	h.observer.Refused(r.Reason)
	if r.Status == 0 || !h.observer.Logs(r.Status, 0) {
		return
	}
	reason := r.Reason
	if r.Section != "" {
		reason += " (" + r.Section + ")"
	}
	h.observer.Log(&observe.Entry{Time: time.Now(), RequestID: r.ID, Protocol: r.Protocol, Status: r.Status,
		SourceIP: r.Remote.Addr(), Reason: reason})
}

func (h *Host) countConnection(_ string, open bool) {
	if open {
		h.observer.Connection(1)
	} else {
		h.observer.Connection(-1)
	}
}

func listenBoth(c *config.Config, old *door) (sock [2]net.Listener, err error) {
	for i, key := range [...]struct{ name, address string }{{"listen.https", c.Listen.HTTPS}, {"listen.http", c.Listen.HTTP}} {
		if key.address == "" {
			continue
		}
		if sock[i], err = listenAt(key.address, old, i); err != nil {
			return sock, errors.Join(fmt.Errorf("%s: %w", key.name, err), closeAll(sock))
		}
	}
	return sock, nil
}

// listenAt listens at address, on old's socket if that is there.
func listenAt(address string, old *door, i int) (net.Listener, error) {
	if old == nil || old.sock[i] == nil || old.asked[i] != address {
		return net.Listen("tcp", address)
	}
	return sameSocket(old.sock[i].(*net.TCPListener))
}

func closeAll(sock [2]net.Listener) error {
	var errs []error
	for _, l := range sock {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

func newCertificates(c *config.Config, h *Host) (*tls.Manager, error) {
	o := tls.Options{Mode: tls.Mode(c.TLS.Mode), DataDir: c.DataDir, Logger: h.log}
	if c.TLS.MinVersion == "1.3" {
		o.MinVersion = stdtls.VersionTLS13
	}
	switch c.TLS.Mode {
	case config.ModeInternal:
		// Whatever the APIs are called, the gateway answers under the names of this machine.
		o.Names = []string{"localhost", "127.0.0.1", "::1"}
		if host, _, err := net.SplitHostPort(c.Listen.HTTPS); err == nil && host != "" && !slices.Contains(o.Names, host) {
			if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
				o.Names = append(o.Names, host)
			}
		}
	case config.ModeFiles:
		for _, pair := range c.TLS.Certificates {
			o.Pairs = append(o.Pairs, tls.Pair{Certificate: pair.Cert, Key: pair.Key})
		}
	case config.ModeACME:
		o.Names = c.TLS.ACME.Domains
		o.ACME = tls.ACMEOptions{Directory: c.TLS.ACME.Directory, RootFile: c.TLS.ACME.CARoot, Email: c.TLS.ACME.Email}
		if c.TLS.ACME.TLSALPNChallenge {
			o.ACME.Challenges = append(o.ACME.Challenges, "tls-alpn-01")
		}
		if c.TLS.ACME.HTTPChallenge {
			o.ACME.Challenges = append(o.ACME.Challenges, "http-01")
		}
	}
	return tls.New(o)
}

// names are the hosts that the current snapshot serves.
func (h *Host) names() []string {
	h.mu.Lock()
	s := h.snapshot
	h.mu.Unlock()
	var names []string
	for _, a := range s.apis {
		names = append(names, strings.ToLower(a.api.ID)+route.Suffix)
		names = append(names, a.api.Domains...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func limits(c *config.Config) listen.Limits {
	l := &c.Limits
	return listen.Limits{Proxied: addressIn(c.Listen.ProxyProtocol), Trusted: addressIn(c.Listen.TrustedProxies),
		Connections: l.Connections, ConnectionsPerAddress: l.ConnectionsPerAddress, Fields: l.HeaderCount,
		HeadBytes: int(l.HeaderBytes), TargetBytes: int(l.URLBytes), BodyBytes: l.BodyBytes, Streams: l.Streams,
		Abandoned: l.AbandonedRequests, Trace: true}
}

// addressIn tells whether an address is one of those named, as addresses or networks, which
// are well-formed; nil when none is.
func addressIn(names []string) func(netip.Addr) bool {
	var networks []netip.Prefix
	for _, name := range names {
		network, err := netip.ParsePrefix(name)
		if err != nil {
			addr := netip.MustParseAddr(name)
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		networks = append(networks, network.Masked())
	}
	if networks == nil {
		return nil
	}
	return func(addr netip.Addr) bool {
		return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
	}
}

func timeouts(t *config.Timeouts, minRate int64) listen.Timeouts {
	if minRate == 0 {
		minRate = -1 // listen's zero is its default
	}
	return listen.Timeouts{Hello: t.Hello, Head: t.Head, Body: t.Body, Idle: t.Idle, Write: t.Write, BodyRate: minRate}
}

// sameSocket is another listener on l's socket, with its queue. [net.TCPListener.File]
// would do, were it not that the socket, and with it l's Accept, can block a thread for a
// moment then, and Close does not end such an Accept.
func sameSocket(l *net.TCPListener) (net.Listener, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failed error
	if err := raw.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, os.NewSyscallError("fcntl", failed)
	}
	file := os.NewFile(uintptr(fd), l.Addr().String())
	defer file.Close()
	return net.FileListener(file)
}
