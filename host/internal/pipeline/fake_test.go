package pipeline_test

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/cache"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
	"github.com/wasmgate/wasmgate/host/internal/route"
	"github.com/wasmgate/wasmgate/host/internal/throttle"
	"github.com/wasmgate/wasmgate/host/model"
)

// plugin is a guest written in Go: it gets and gives real records.
type plugin struct {
	identity []string
	masks    map[abi.Hook]abi.Mask
	hooks    map[abi.Hook]func(in abi.Request, out *abi.Writer[abi.ResultField])
	raw      map[abi.Hook]func() ([]byte, error)
	calls    atomic.Int64
}

func (p *plugin) Has(h abi.Hook) bool { return p.hooks[h] != nil || p.raw[h] != nil }
func (p *plugin) Identity() []string  { return p.identity }
func (p *plugin) Mask(h abi.Hook) abi.Mask {
	if m, ok := p.masks[h]; ok {
		return m
	}
	return abi.DefaultMask(h)
}

func (p *plugin) Call(_ context.Context, h abi.Hook, c pipeline.Call) error {
	p.calls.Add(1)
	scratch := make([]byte, 256<<10)
	n, err := c.Encode(scratch)
	if err != nil {
		return err
	}
	in, err := abi.ParseRequest(scratch[:n])
	if err != nil {
		return err
	}
	if raw := p.raw[h]; raw != nil {
		result, err := raw()
		if err != nil {
			return err
		}
		return c.Decode(result)
	}
	var w abi.Writer[abi.ResultField]
	result := make([]byte, 64<<10)
	w.Start(result, h, 16)
	p.hooks[h](in, &w)
	if n, err = w.Finish(); err != nil {
		return err
	}
	return c.Decode(result[:n])
}

type (
	in  = abi.Request
	out = *abi.Writer[abi.ResultField]
)

// on is a plugin with one hook.
func on(h abi.Hook, f func(in, out)) *plugin {
	return &plugin{hooks: map[abi.Hook]func(in, out){h: f}}
}

// upstream answers every call and remembers the last.
type upstream struct {
	calls  atomic.Int64
	last   pipeline.UpstreamCall
	header map[string]string
	body   string
	answer func(x *exchange.Exchange)
	opened []string
}

func (u *upstream) Upstream(scheme, authority string, computed, insecure bool) (pipeline.Upstream, error) {
	kind := " constant"
	if computed {
		kind = " computed"
	}
	u.opened = append(u.opened, scheme+"://"+authority+kind)
	return u, nil
}

func (u *upstream) Do(x *exchange.Exchange, c *pipeline.UpstreamCall) error {
	u.calls.Add(1)
	u.last = *c
	u.header = map[string]string{}
	for name, v := range c.Header.All() {
		u.header[string(name)] = string(v)
	}
	if r, _, _ := x.BodyReader(); r != nil {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		u.body = string(b)
	}
	if u.answer != nil {
		u.answer(x)
		return nil
	}
	x.Response.Status = 200
	x.Response.Header.Add("content-type", "text/plain")
	x.Response.SetBody([]byte("from upstream"))
	return nil
}

// callUpstream is the integration of most tests: a static plan for a constant URL.
func callUpstream() *plugin {
	return on(abi.HookIntegrate, func(_ in, w out) {
		w.Uint(abi.ResultScope, uint64(abi.ScopeRoute))
		w.Value(abi.ResultCallURL, abi.Value(nil).Literal("http://up.test:80").Select("path"))
	})
}

type bench struct {
	t   testing.TB
	p   *pipeline.Pipeline
	up  *upstream
	api *pipeline.API
	obs *observe.Observer

	parts pipeline.Parts
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, up: &upstream{}, obs: observe.New(observe.Options{}),
		api: &pipeline.API{ID: "pets", Stage: "$default", Protocol: model.REST}}
	c, err := cache.New(cache.Options{})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	b.parts = pipeline.Parts{Upstreams: b.up, Buckets: throttle.New(throttle.Options{}), Cache: c, Close: func() {}}
	b.p = pipeline.New(pipeline.Options{Observer: b.obs, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { b.p.Swap(nil) })
	return b
}

func (b *bench) policy(p pipeline.Policy) *pipeline.Policy {
	b.t.Helper()
	if p.ID == [32]byte{} {
		p.ID = sha256.Sum256([]byte(p.Name))
	}
	bound, err := pipeline.NewPolicy(p)
	require.NoError(b.t, err)
	return bound
}

// route serves plugins, in order, on GET and POST of /x and /y/{id}.
func (b *bench) route(plugins ...*plugin) {
	b.t.Helper()
	policies := make([]*pipeline.Policy, len(plugins))
	for i, p := range plugins {
		policies[i] = b.policy(pipeline.Policy{Plugin: p, Name: string(rune('a' + i))})
	}
	b.serve(policies...)
}

func (b *bench) serve(policies ...*pipeline.Policy) {
	b.t.Helper()
	b.p.Swap(b.snapshot(b.table(policies...), func() {}))
}

func (b *bench) snapshot(table *route.Table[*pipeline.Route], close func()) *pipeline.Snapshot {
	parts := b.parts
	parts.Table, parts.Close = table, close
	return pipeline.NewSnapshot(parts)
}

func (b *bench) table(policies ...*pipeline.Policy) *route.Table[*pipeline.Route] {
	b.t.Helper()
	var routes []route.Route[*pipeline.Route]
	for _, key := range [][2]string{{"GET", "/x"}, {"POST", "/x"}, {"GET", "/y/{id}"}} {
		r := pipeline.NewRoute(pipeline.Route{API: b.api, Key: key[0] + " " + key[1], Path: key[1], Host: "up.test:80",
			Metrics: b.obs.Route(observe.RouteKey{API: "pets", Route: key[1], Method: key[0]})}, policies)
		routes = append(routes, route.Route[*pipeline.Route]{Method: key[0], Path: key[1], Value: r})
	}
	table, err := route.Build([]route.API[*pipeline.Route]{{ID: "pets", Protocol: b.api.Protocol, Stage: "$default",
		Domains: []string{"api.test"}, Routes: routes}}, route.Options{})
	require.NoError(b.t, err)
	return table
}

type answer struct {
	status int
	body   string
	header map[string]string
}

// request is a request line such as "GET /x?a=1" with headers as pairs and a body.
type question struct {
	method, target, query string
	header                []string
	body                  string
	ip                    string
}

func (b *bench) ask(q question) answer {
	x := exchange.Acquire()
	defer x.Release()
	x.Start, x.Context, x.Conn = time.Now(), context.Background(), &exchange.Conn{Protocol: "HTTP/1.1"}
	x.Authority, x.Method, x.Target, x.Query = "api.test", q.method, q.target, q.query
	if q.method == "" {
		x.Method = "GET"
	}
	if q.target == "" {
		x.Target = "/x"
	}
	ip := q.ip
	if ip == "" {
		ip = "192.0.2.1"
	}
	x.Remote = netip.AddrPortFrom(netip.MustParseAddr(ip), 1234)
	for i := 0; i+1 < len(q.header); i += 2 {
		x.Header.Add(q.header[i], q.header[i+1])
	}
	if q.body != "" {
		x.SetBody([]byte(q.body))
	}
	b.p.ServeExchange(x)
	a := answer{status: x.Response.Status, body: string(x.Response.Body), header: map[string]string{}}
	if x.Response.Stream != nil {
		all, err := io.ReadAll(x.Response.Stream)
		require.NoError(b.t, err)
		a.body = string(all)
		x.Response.Stream.Close()
	}
	for name, v := range x.Response.Header.All() {
		a.header[string(name)] = string(v)
	}
	x.Response.Sent = int64(len(a.body))
	b.p.FinishExchange(x, nil)
	return a
}

// exchange is one GET /x that may be served again and again.
func (b *bench) exchange() *exchange.Exchange {
	x := exchange.Acquire()
	x.Start, x.Context, x.Conn = time.Now(), context.Background(), &exchange.Conn{Protocol: "HTTP/1.1"}
	x.Authority, x.Method, x.Target = "api.test", "GET", "/x"
	x.Remote = netip.MustParseAddrPort("192.0.2.1:1234")
	return x
}
