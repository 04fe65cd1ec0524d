package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/forward"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/jwks"
)

// powers are what the plugins' capabilities reach. They follow the current setup, so that
// a changed secret or upstream option counts for policies that did not change.
type powers struct {
	setup atomic.Pointer[setup]
	keys  *jwks.Sets
}

func newPowers(s *setup, log *slog.Logger) (*powers, error) {
	p := &powers{}
	p.setup.Store(s)
	roots, err := upstreamRoots(&s.config.Upstreams)
	if err != nil {
		return nil, err
	}
	p.keys = jwks.New(jwks.Options{Roots: roots, Logger: log})
	return p, nil
}

func (p *powers) use(s *setup) { p.setup.Store(s) }

func (p *powers) close() { p.keys.Close() }

func (p *powers) guest() guest.Powers {
	return guest.Powers{HTTP: p, JWKS: p.keys, Secrets: func(name string) ([]byte, bool) {
		s, ok := p.setup.Load().config.Secrets[name]
		return []byte(s.Reveal()), ok
	}}
}

// Do makes one outbound call through the upstream client, with its checks of addresses
// and certificates.
func (p *powers) Do(ctx context.Context, c guest.Outbound) (guest.Answer, error) {
	scheme, rest, ok := strings.Cut(c.URL, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return guest.Answer{}, fmt.Errorf("call %q: want http:// or https://", c.URL)
	}
	authority, target := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, target = rest[:i], rest[i:]
	}
	if strings.HasPrefix(target, "?") {
		target = "/" + target
	}
	host, port, err := splitAuthority(authority)
	if err != nil {
		return guest.Answer{}, fmt.Errorf("call %q: %w", c.URL, err)
	}
	forwarder := p.setup.Load().forward.value
	up, err := forwarder.Forwarder.Upstream(forward.Target{Scheme: scheme, Host: host, Port: port, Computed: !c.Constant})
	if err != nil {
		return guest.Answer{}, err
	}
	x := exchange.Acquire()
	defer x.Release()
	x.Context, x.Start, x.Method, x.Conn = ctx, time.Now(), c.Method, &exchange.Conn{}
	if len(c.Body) > 0 {
		x.SetBody(c.Body)
	}
	var header exchange.Header
	for _, h := range c.Headers {
		header.Add(strings.ToLower(h.Name), h.Value)
	}
	path, query, hasQuery := strings.Cut(target, "?")
	call := forward.Call{Upstream: up, Method: c.Method, Path: path, Query: query,
		EmptyQuery: hasQuery && query == "", Authority: cmp.Or(c.Authority, authority), Header: &header}
	if deadline, ok := ctx.Deadline(); ok {
		call.Timeout = time.Until(deadline)
	}
	if err := forwarder.Forwarder.Do(x, &call); err != nil {
		if e, ok := errors.AsType[*forward.Error](err); ok && e.Status == 504 { // it looks at its own clock
			err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
		return guest.Answer{}, err
	}
	return answerOf(&x.Response, c.MaxAnswer)
}

// answerOf copies a response, of which no more than max bytes are of use.
func answerOf(r *exchange.Response, max int) (guest.Answer, error) {
	a := guest.Answer{Status: r.Status, Headers: headersOf(&r.Header)}
	if r.Stream == nil {
		a.Body = append(a.Body, r.Body...)
		return a, nil
	}
	defer r.Stream.Close()
	var err error
	a.Body, err = io.ReadAll(io.LimitReader(r.Stream, int64(max)+1))
	a.Trailers = headersOf(&r.Trailer)
	return a, err
}

func headersOf(h *exchange.Header) (list []guest.Header) {
	for name, value := range h.All() {
		list = append(list, guest.Header{Name: string(name), Value: string(value)})
	}
	return list
}
