package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/socket"
)

// Resolver finds the addresses of a name; [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// stagger is how long one address has before the next is tried beside it (RFC 8305 5).
const stagger = 250 * time.Millisecond

// resolve gives the addresses of u's host, asked anew when those known are too old. When
// that fails, the old ones still serve.
func (u *Upstream) resolve(ctx context.Context) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(u.target.Host); err == nil {
		return []netip.Addr{addr}, nil
	}
	// One asks; who comes meanwhile waits for it.
	select {
	case u.resolving <- struct{}{}:
		defer func() { <-u.resolving }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := time.Now()
	if now.Before(u.resolvedUntil) {
		return u.addrs, nil
	}
	addrs, err := u.f.options.Resolver.LookupNetIP(ctx, "ip", u.target.Host)
	switch {
	case err == nil && len(addrs) > 0:
		u.addrs, u.resolvedUntil = alternate(addrs), now.Add(u.f.options.Resolve)
	case len(u.addrs) > 0:
		u.f.options.Logger.Warn("resolve upstream: keeping the old addresses", "host", u.target.Host, "error", err)
		u.resolvedUntil = now.Add(u.f.options.Resolve / 8)
	case err == nil:
		return nil, fmt.Errorf("resolve %q: no address", u.target.Host)
	default:
		return nil, fmt.Errorf("resolve %q: %w", u.target.Host, err)
	}
	return u.addrs, nil
}

// alternate orders addresses so that families take turns, beginning with the first's (RFC 8305 4).
func alternate(addrs []netip.Addr) []netip.Addr {
	var same, other, out []netip.Addr
	for _, a := range addrs {
		if a.Unmap().Is4() == addrs[0].Unmap().Is4() {
			same = append(same, a)
		} else {
			other = append(other, a)
		}
	}
	for i := range max(len(same), len(other)) {
		out = append(append(out, same[min(i, len(same)):min(i+1, len(same))]...), other[min(i, len(other)):min(i+1, len(other))]...)
	}
	return out
}

// dial makes a new connection to u, TLS included, within the connect timeout.
func (u *Upstream) dial(ctx context.Context, until time.Time) (net.Conn, *socket.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	addrs, err := u.resolve(ctx)
	if err != nil {
		return nil, nil, dialError(ctx, DNS, err)
	}
	var allowed []netip.Addr
	var refused error
	for _, a := range addrs {
		if err := u.f.guard.check(&u.target, a); err != nil {
			refused = errors.Join(refused, err)
			continue
		}
		allowed = append(allowed, a)
	}
	if len(allowed) == 0 {
		return nil, nil, fail(RefusedAddress, refused)
	}
	raw, err := u.race(ctx, allowed)
	if err != nil {
		return nil, nil, dialError(ctx, Connect, err)
	}
	raw = socket.Wrap(raw)
	tcp, _ := raw.(*socket.Conn)
	if u.tls == nil {
		return raw, tcp, nil
	}
	secure := tls.Client(raw, u.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, nil, dialError(ctx, TLS, err)
	}
	return secure, tcp, nil
}

func dialError(ctx context.Context, kind Kind, err error) error {
	if ctx.Err() == context.Canceled {
		return fail(ClientGone, err)
	}
	if ctx.Err() != nil || isTimeout(err) {
		kind = TimeoutConnect
	}
	return fail(kind, err)
}

// race dials the addresses one after the other, each a little later than the one before
// or as soon as that failed; the first to connect wins. It returns when all are done.
func (u *Upstream) race(ctx context.Context, addrs []netip.Addr) (won net.Conn, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		conn net.Conn
		err  error
	}
	outcomes := make(chan outcome, len(addrs))
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	for started, done, next := 0, 0, true; done < len(addrs); {
		if next && won == nil && started < len(addrs) {
			addr := net.JoinHostPort(addrs[started].Unmap().String(), strconv.Itoa(int(u.target.Port)))
			started, next = started+1, false
			timer.Reset(stagger)
			go func() { // owned by race, which takes every outcome
				conn, err := u.f.options.Dial(ctx, "tcp", addr)
				outcomes <- outcome{conn, err}
			}()
		}
		if won != nil && done == started {
			break
		}
		select {
		case <-timer.C:
			next = true
		case o := <-outcomes:
			done, next = done+1, true
			switch {
			case o.err != nil:
				err = errors.Join(err, o.err)
			case won == nil:
				won = o.conn
				cancel()
			default:
				o.conn.Close()
			}
		}
	}
	if won != nil {
		return won, nil
	}
	return nil, err
}
