package host

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/config"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/forward"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// newForwarder makes the upstream client that c describes.
func newForwarder(c *config.Upstreams, log *slog.Logger) (*forward.Forwarder, error) {
	roots, err := upstreamRoots(c)
	if err != nil {
		return nil, err
	}
	return forward.New(forward.Options{Connect: c.ConnectTimeout, FirstByte: c.FirstByteTimeout, KeepIdle: c.IdleTimeout,
		MaxConns: c.MaxConnections, MaxIdle: c.MaxIdle, Retries: c.RetryBudget, Roots: roots, Allow: c.Allow, Logger: log})
}

// upstreamRoots are the accepted certificate authorities; nil is the system's.
func upstreamRoots(c *config.Upstreams) (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read upstreams.ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's certificate authorities: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read upstreams.ca_file: %s holds no PEM certificate", c.CAFile)
	}
	return roots, nil
}

// upstreams is the forwarder as the pipeline sees it.
type upstreams struct {
	*forward.Forwarder
	timeout time.Duration // of a call that names none
}

// Upstream is the pool for an URL's scheme and authority.
func (u *upstreams) Upstream(scheme, authority string, computed, insecure bool) (pipeline.Upstream, error) {
	host, port, err := splitAuthority(authority)
	if err != nil {
		return nil, problem.New(problem.Internal, fmt.Errorf("upstream %q: %w", authority, err))
	}
	one, err := u.Forwarder.Upstream(forward.Target{Scheme: scheme, Host: host, Port: port, Computed: computed, Insecure: insecure})
	if err != nil {
		return nil, callProblem(err)
	}
	return &upstream{upstreams: u, pool: one}, nil
}

func splitAuthority(authority string) (host string, port uint16, err error) {
	host = authority
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		n, err := strconv.ParseUint(authority[i+1:], 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("port %q, want 1 to 65535", authority[i+1:])
		}
		host, port = authority[:i], uint16(n)
	}
	if bare, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(bare, "]")
		if net.ParseIP(host) == nil {
			return "", 0, fmt.Errorf("address %q, want an IPv6 address in brackets", host)
		}
	}
	return strings.ToLower(host), port, nil
}

// upstream is one pool as the pipeline sees it.
type upstream struct {
	*upstreams
	pool *forward.Upstream
}

var calls = sync.Pool{New: func() any { return new(forward.Call) }}

// Do sends x's request and fills x.Response.
func (u *upstream) Do(x *exchange.Exchange, c *pipeline.UpstreamCall) error {
	path, query, hasQuery := strings.Cut(c.Target, "?")
	call := calls.Get().(*forward.Call)
	*call = forward.Call{Upstream: u.pool, Method: c.Method, Path: path, Query: query, EmptyQuery: hasQuery && query == "",
		Authority: c.Authority, Header: c.Header, Edited: c.Edited, NoBody: c.NoBody, Forwarded: c.Forwarded, Timeout: c.Timeout}
	if call.Timeout == 0 {
		call.Timeout = u.timeout
	}
	err := u.Forwarder.Do(x, call)
	c.Latency = call.Latency
	*call = forward.Call{}
	calls.Put(call)
	if err != nil {
		return callProblem(err)
	}
	return nil
}

// callProblem is what a client is told of a failed call, in Amazon's words.
func callProblem(err error) error {
	failure, ok := errors.AsType[*forward.Error](err)
	if !ok {
		return problem.New(problem.BadGateway, err)
	}
	switch failure.Kind {
	case forward.TimeoutFirstByte, forward.TimeoutIdle, forward.TimeoutTotal:
		return problem.New(problem.IntegrationTimeout, err)
	case forward.Connect, forward.DNS, forward.TimeoutConnect, forward.Reset:
		return problem.New(problem.IntegrationFailure, err)
	case forward.RequestBody, forward.RequestInvalid:
		return problem.New(problem.ForStatus(failure.Status), err)
	case forward.Busy, forward.Closed:
		return problem.New(problem.Unavailable, err)
	case forward.ClientGone:
		return problem.New(problem.RequestTimeout, err)
	case forward.RefusedAddress:
		return problem.New(problem.Internal, err)
	}
	return problem.New(problem.BadGateway, err)
}
