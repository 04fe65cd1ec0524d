package pipeline

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/cache"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/problem"
	"github.com/wasmgate/wasmgate/host/internal/route"
	"github.com/wasmgate/wasmgate/host/internal/throttle"
	"github.com/wasmgate/wasmgate/host/model"
)

// Options are for [New]. All but Verdicts are needed.
type Options struct {
	Observer *observe.Observer
	Log      *slog.Logger
	// Verdicts is how many identity-scoped plans are kept; 0 is 65536.
	Verdicts int
}

// Pipeline serves exchanges from the current snapshot. It is safe for concurrent use and
// outlives its snapshots.
type Pipeline struct {
	observer *observe.Observer
	log      *slog.Logger
	verdicts *verdicts
	unrouted *observe.RouteMetrics // requests that no route matched
	seeds    [2]maphash.Seed
	current  atomic.Pointer[Snapshot]
}

// New makes a pipeline without a snapshot; until [Pipeline.Swap] every request gets 503.
func New(o Options) *Pipeline {
	if o.Verdicts == 0 {
		o.Verdicts = 1 << 16
	}
	return &Pipeline{observer: o.Observer, log: o.Log,
		verdicts: newVerdicts(o.Verdicts), unrouted: o.Observer.Route(observe.RouteKey{}),
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

// Parts are what a snapshot is made of. All are needed.
type Parts struct {
	Table     *route.Table[*Route]
	Upstreams Upstreams
	Buckets   *throttle.Store
	Cache     *cache.Cache
	// Close is called once, when the snapshot has been replaced and its last request has ended.
	Close func()
}

// Snapshot is everything that serves requests, compiled and never changed.
type Snapshot struct {
	Parts
	refs atomic.Int64 // requests in flight, and 1 while it is current
}

// NewSnapshot makes a snapshot; [Pipeline.Swap] or [Snapshot.Discard] must follow.
func NewSnapshot(p Parts) *Snapshot {
	s := &Snapshot{Parts: p}
	s.refs.Store(1)
	return s
}

func (s *Snapshot) leave() {
	if s.refs.Add(-1) == 0 {
		s.Close()
	}
}

// Discard gives up a snapshot that was never swapped in.
func (s *Snapshot) Discard() { s.leave() }

// Swap makes s the snapshot that new requests are served from; nil ends serving. Requests
// in flight finish on the one that they began with.
func (p *Pipeline) Swap(s *Snapshot) {
	if old := p.current.Swap(s); old != nil {
		old.leave()
	}
}

// enter takes part in the current snapshot; nil when there is none.
func (p *Pipeline) enter() *Snapshot {
	for {
		s := p.current.Load()
		if s == nil {
			return nil
		}
		for n := s.refs.Load(); n > 0; n = s.refs.Load() {
			if s.refs.CompareAndSwap(n, n+1) {
				return s
			}
		}
	}
}

// ServeExchange answers x. [Pipeline.FinishExchange] must follow.
func (p *Pipeline) ServeExchange(x *exchange.Exchange) {
	s := p.enter()
	if s == nil {
		problem.Unavailable.Problem().Write(x)
		return
	}
	r := p.begin(x, s)
	r.guarded(r.serve)
	if len(r.filters) > 0 {
		r.guarded(r.filterResponse)
	}
	if r.route != nil && len(r.route.steps[abi.HookMapResponse]) > 0 {
		r.guarded(r.mapResponse)
	}
	if len(x.Response.Header.Get("x-amzn-requestid")) != 0 {
		x.Response.Header.Del("x-amzn-requestid")
	}
	x.Response.Header.AppendAlias(requestIDName, x.ID[:])
}

var requestIDName = []byte("x-amzn-requestid")

// guarded runs one part of the request; its error, or its panic, becomes the response.
func (r *request) guarded(part func() error) {
	defer func() {
		if v := recover(); v != nil {
			r.p.log.Error("request panicked", "request_id", string(r.x.ID[:]), "panic", v, "stack", string(debug.Stack()))
			r.fail(problem.New(problem.Internal, fmt.Errorf("panic: %v", v)))
		}
	}()
	if err := part(); err != nil && err != errAnswered {
		r.fail(err)
	}
}

// fail makes err the response.
func (r *request) fail(err error) {
	p := problem.From(err)
	if r.route != nil && r.route.API.Protocol == model.HTTP {
		p = p.ForHTTP()
	}
	if p.Cause != nil {
		r.reason = p.Cause.Error()
		if p.Status >= 500 || p.Code.Status() >= 500 {
			r.p.log.Warn("request failed", "request_id", string(r.x.ID[:]), "path", r.x.Target, "error", p)
		}
	}
	p.Write(r.x)
	r.problem = p
}

// serve takes the request through all hooks up to the integration.
func (r *request) serve() error {
	missing := r.find()
	if missing != nil {
		if !r.findPreflighted() {
			return missing
		}
		r.keepOrigin()
		if err := r.guard(); err != nil {
			return err
		}
		return missing // no guard answered
	}
	r.keepOrigin()
	if err := r.admit(); err != nil {
		return err
	}
	if len(r.route.filters) > 0 {
		if err := r.filterRequest(); err != nil {
			return err
		}
	}
	if err := r.mapRequest(); err != nil {
		return err
	}
	err := r.cached()
	if len(r.filters) > 0 {
		err = r.filteredBody(err)
	}
	return err
}

// find looks the route up and says what Amazon says when there is none.
func (r *request) find() error {
	x := r.x
	result := r.snap.Table.Lookup(x.Authority, x.Method, x.Target, &r.match)
	if result == route.Found {
		r.route, r.path = r.match.Route.Value.serving(x), r.match.Path
		return nil
	}
	r.path = x.Target
	switch {
	case result == route.BadPath:
		r.reason = "path holds dot segments"
		return problem.BadRequest.Problem()
	case result == route.NoAPI:
		r.reason = "no API for this host"
		return problem.Forbidden.Problem()
	case r.match.API != nil && r.match.API.Protocol == model.HTTP:
		r.reason = "no route"
		return problem.NotFound.HTTP()
	}
	r.reason = "no route"
	return problem.MissingAuthenticationToken.Problem()
}

// findPreflighted finds, for a CORS preflight on a resource without OPTIONS, the route that
// is asked about: its guards may answer, and nothing else of it runs (Fetch 3.2.2).
func (r *request) findPreflighted() bool {
	x := r.x
	method := x.Header.Get("access-control-request-method")
	if x.Method != "OPTIONS" || len(method) == 0 || !x.Header.Has("origin") {
		return false
	}
	if r.snap.Table.Lookup(x.Authority, text(method), x.Target, &r.match) != route.Found {
		return false
	}
	r.preflight = true
	r.route, r.path = r.match.Route.Value.serving(x), r.match.Path
	return true
}

// cached answers from the cache when a cache_key hook says so, or from the integration.
func (r *request) cached() error {
	steps := r.route.steps[abi.HookCacheKey]
	for i := range steps {
		p, err := r.resolve(&steps[i])
		if err != nil {
			return err
		}
		if p == nil {
			continue
		}
		if p.decision == abi.DecisionDeny {
			return r.denied(p)
		}
		if p.cacheKey == nil && !p.bypass {
			continue
		}
		request := cache.Request{Key: r.cacheKey(p.cacheKey), TTL: p.cacheTTL,
			Bypass:      p.bypass || r.method != r.x.Method, // a policy made another method of it
			PerIdentity: p.cacheKey.perIdentity(), Group: r.route.Cache}
		status, err := r.snap.Cache.Serve(r.x, request, r.integrate)
		r.cacheStatus = string(status)
		if err == nil && !r.upstream.called && status != cache.Bypass && status != cache.Miss {
			r.upstream.status = r.x.Response.Status // as it was when the answer was stored
		}
		if errors.Is(err, cache.ErrNotCached) {
			return problem.New(problem.IntegrationTimeout, err)
		}
		return err
	}
	return r.integrate()
}

// cacheKey is the hash of everything that makes one answer differ from another: what the
// plugin named, and the API, stage, route, authority and path whether it named them or not
// (CVE-2026-2836, CVE-2026-30246).
func (r *request) cacheKey(v value) [32]byte {
	b := r.buf[:0]
	for _, s := range [...]string{r.route.API.ID, r.route.API.Stage, r.route.Key, cmp.Or(r.authority, r.x.Authority), r.path} {
		b = appendPart(b, s)
	}
	if r.route.Variant != "" {
		b = appendPart(b, r.route.Variant)
	}
	r.buf = v.appendTuple(b, r)
	return sha256.Sum256(r.buf)
}

// perIdentity tells whether v tells one caller with credentials from another. An API key
// does not, nor does caller, which may be one: an app's key is shared by its users.
func (v value) perIdentity() bool {
	for _, p := range v {
		if p.kind == abi.SelectorPrincipal || p.kind == abi.SelectorHeader && p.arg == "authorization" {
			return true
		}
	}
	return false
}

// FinishExchange is called when the answer is out: it runs observe, counts and logs.
func (p *Pipeline) FinishExchange(x *exchange.Exchange, err error) {
	r, _ := x.State.(*request)
	if r == nil {
		return
	}
	x.State = nil
	now := time.Now()
	if r.route != nil {
		r.observe(now)
	}
	r.closeFilters()
	r.account(now, err)
	s := r.snap
	r.end()
	s.leave()
}

// observe asks the observe hooks for labels; what goes wrong there costs no answer.
func (r *request) observe(now time.Time) {
	steps := r.route.steps[abi.HookObserve]
	if len(steps) == 0 {
		return
	}
	r.call.now = now
	for i := range steps {
		if p, err := r.resolve(&steps[i]); err == nil && p != nil {
			for _, l := range p.labels {
				r.labels = append(r.labels, observe.Label{Name: l.name, Value: l.value})
			}
		}
	}
}
