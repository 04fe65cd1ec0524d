package pipeline

import (
	"errors"
	"fmt"
	"sync"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/problem"
	"github.com/wasmgate/wasmgate/host/internal/route"
	"github.com/wasmgate/wasmgate/host/internal/throttle"
)

// request is what the pipeline knows of one exchange, from ServeExchange to
// FinishExchange.
type request struct {
	x         *exchange.Exchange
	p         *Pipeline
	snap      *Snapshot
	route     *Route
	match     route.Match[*Route]
	preflight bool // of route, whose guards alone may answer

	// What the hooks see and the upstream gets; map_request may change it.
	method, path, query, authority string
	emptyQuery                     bool // a question mark stands behind the path, with nothing behind it
	pathSet                        bool // by map_request: it is sent whatever the integration's URL says

	principal, apiKeyID, usagePlanID string
	context                          []pair
	labels                           []observe.Label
	states                           []policyState

	params       []pair // decoded query
	paramsOf     string // of which query
	paramsParsed bool
	ip           string
	ipBytes      []byte

	origin  *exchange.Header // as the request came in; nil when no policy of the route is recorded
	filters []filtering      // those that the request has passed

	plans  []*plan // of this request alone; the first used are taken
	used   int
	draws  []throttle.Draw
	buf    []byte      // tuples and values, for the moment
	values []evaluated // of the edits being applied
	kept   []byte      // values that live as long as the request
	call   call
	out    outgoing

	entry       observe.Entry
	userAgent   []byte
	cacheStatus string
	upstream    upstreamResult
	problem     *problem.Problem
	reason      string // why a hook refused, for the log
}

// outgoing is the call to the upstream.
type outgoing struct {
	call   UpstreamCall
	header exchange.Header // when integrate changes it
	edited []string        // names of fields that policies changed
	path   string          // of a computed URL
}

type policyState struct {
	policy *Policy
	bytes  []byte
}

type upstreamResult struct {
	called bool
	took   time.Duration // to the head of its answer, or to the failure
	status int
}

var requests = sync.Pool{New: func() any {
	r := new(request)
	r.call.r = r
	return r
}}

func (p *Pipeline) begin(x *exchange.Exchange, s *Snapshot) *request {
	r := requests.Get().(*request)
	r.x, r.p, r.snap = x, p, s
	r.method, r.query, r.emptyQuery = x.Method, x.Query, x.EmptyQuery
	r.userAgent = x.Header.Get("user-agent")
	x.State = r
	return r
}

// end gives r back; nothing of it may be used afterwards.
func (r *request) end() {
	for _, p := range r.plans[:r.used] {
		p.reset()
	}
	clear(r.states)
	clear(r.filters)
	clear(r.draws)
	r.out.header.Reset()
	*r = request{out: outgoing{header: r.out.header, edited: r.out.edited[:0]}, context: r.context[:0], labels: r.labels[:0], states: r.states[:0], filters: r.filters[:0],
		params: r.params[:0], ipBytes: r.ipBytes, plans: r.plans, draws: r.draws[:0],
		buf: r.buf[:0], values: r.values[:0], kept: r.kept[:0], call: r.call}
	r.call.r = r
	requests.Put(r)
}

// plan is an empty plan that lives as long as the request.
func (r *request) plan() *plan {
	if r.used == len(r.plans) {
		r.plans = append(r.plans, new(plan))
	}
	r.used++
	return r.plans[r.used-1]
}

// pathParams is the path variables.
func (r *request) pathParams() []route.Param { return r.match.Params() }

// string makes a string of v that lives as long as the request.
func (r *request) string(v value) string {
	if s, ok := v.constant(); ok {
		return s
	}
	from := len(r.kept)
	r.kept = v.appendTo(r.kept, r)
	return text(r.kept[from:len(r.kept):len(r.kept)])
}

func (r *request) stateOf(p *Policy) []byte {
	for i := range r.states {
		if r.states[i].policy == p {
			return r.states[i].bytes
		}
	}
	return nil
}

func (r *request) setState(p *Policy, state []byte) {
	for i := range r.states {
		if r.states[i].policy == p {
			r.states[i].bytes = state
			return
		}
	}
	r.states = append(r.states, policyState{p, state})
}

// resolve is the plan that holds for r at s: a kept one, or what the guest says now. A
// nil plan means that the policy is skipped.
func (r *request) resolve(s *step) (*plan, error) {
	if s.tally == nil {
		return r.decide(s)
	}
	p, err := r.decide(s)
	if p != nil {
		s.tally.decided(p.decision == abi.DecisionDeny)
	}
	return p, err
}

// decide is resolve without the count.
func (r *request) decide(s *step) (*plan, error) {
	if p := s.static.Load(); p != nil {
		return p, nil
	}
	seen := abi.Scope(0)
	var shared, here verdictKey
	if len(s.policy.identity) > 0 {
		if scopes := s.scopes.Load(); scopes != 0 {
			shared, here = r.verdictKeys(s)
			seen = 1
			if scopes&(1<<abi.ScopeIdentity) != 0 {
				if p := r.p.verdicts.get(shared, r.x.Start); p != nil {
					return p, nil
				}
			}
			if scopes&(1<<abi.ScopeIdentityRoute) != 0 {
				if p := r.p.verdicts.get(here, r.x.Start); p != nil {
					return p, nil
				}
			}
		}
	}
	p, err := r.ask(s)
	if err != nil {
		return nil, r.failed(s, err)
	}
	if p.state != nil {
		r.setState(s.policy, p.state)
	}
	if p.scope == abi.ScopeRequest {
		return p, nil
	}
	if seen == 0 && len(s.policy.identity) > 0 {
		shared, here = r.verdictKeys(s)
	}
	return r.keep(s, p, shared, here)
}

// keep puts away a plan that holds for more than this request.
func (r *request) keep(s *step, p *plan, shared, here verdictKey) (*plan, error) {
	if p.scope == abi.ScopeRoute {
		kept, err := p.keep(r.x.Start)
		if err == nil {
			err = kept.bind(r, s.policy)
		}
		if err != nil {
			return nil, r.failed(s, err)
		}
		s.static.Store(kept)
		return kept, nil
	}
	if len(s.policy.identity) == 0 || p.ttl <= 0 {
		return p, nil
	}
	kept, err := p.keep(r.x.Start)
	if err != nil {
		return nil, r.failed(s, err)
	}
	s.scopes.Or(1 << p.scope)
	if p.scope == abi.ScopeIdentity {
		r.p.verdicts.put(shared, kept)
	} else {
		r.p.verdicts.put(here, kept)
	}
	return kept, nil
}

// ask calls the guest.
func (r *request) ask(s *step) (*plan, error) {
	c := &r.call
	c.step, c.plan = s, r.plan()
	if err := r.readBodies(s); err != nil {
		return nil, err
	}
	if s.tally == nil {
		err := s.policy.Plugin.Call(r.x.Context, s.hook, c)
		return c.plan, err
	}
	start := time.Now()
	err := s.policy.Plugin.Call(r.x.Context, s.hook, c)
	s.tally.took(time.Since(start))
	return c.plan, err
}

// failed turns what went wrong with a plugin into what the policy's on_error says: nil to
// skip, or the problem that ends the request. Problems of the request itself pass.
func (r *request) failed(s *step, err error) error {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p
	}
	_, room := errors.AsType[*abi.NoRoomError](err)
	_, limit := errors.AsType[*abi.LimitError](err)
	if (room || limit) && r.x.Response.Status == 0 {
		return problem.New(problem.RequestTooLarge, fmt.Errorf("plugin %q: %w", s.policy.Name, err))
	}
	r.reason = err.Error()
	s.tally.failed()
	r.p.observer.PluginFailed(s.policy.Name, s.hook.String())
	r.p.log.Warn("plugin failed", "plugin", s.policy.Name, "hook", s.hook.String(),
		"route", r.route.Key, "api", r.route.API.ID, "request_id", string(r.x.ID[:]), "error", err)
	if s.hook == abi.HookGuard || s.hook == abi.HookAuthorize {
		if s.policy.OnError == onErrorDeny || s.policy.OnError == onErrorSkip {
			return problem.New(problem.AccessDenied, err)
		}
		return failure(problem.AuthorizerFailure, err)
	}
	switch s.policy.OnError {
	case onErrorSkip:
		return nil
	case onErrorDeny:
		return problem.New(problem.AccessDenied, err)
	}
	return failure(problem.PluginFailure, err)
}

// failure is the problem of a plugin that failed: of that code, unless it was only busy, which
// is a limit of the gateway's and passes.
func failure(code problem.Code, err error) error {
	var b interface {
		error
		Busy() bool
	}
	if errors.As(err, &b) && b.Busy() {
		code = problem.Unavailable
	}
	return problem.New(code, err)
}

// account counts and logs r.
func (r *request) account(now time.Time, err error) {
	x := r.x
	status := x.Response.Status
	if err != nil && x.Response.Sent == 0 {
		status = 0 // the client went away before the answer
	}
	metrics := r.p.unrouted
	if r.route != nil {
		metrics = r.route.Metrics
	}
	took := now.Sub(x.Start)
	metrics.Done(observe.Sample{Status: status, Duration: took, Integration: r.upstream.took,
		Cache: r.cacheStatus, Throttled: r.problem != nil && r.problem.Code == problem.Throttled})
	if !r.p.observer.Logs(status, x.Seed) {
		return
	}
	integrationStatus := 0
	if r.upstream.called {
		integrationStatus = r.upstream.status
	}
	e := &r.entry
	*e = observe.Entry{Seed: x.Seed, Time: x.Start, RequestID: text(x.ID[:]), Domain: x.Authority,
		Method: x.Method, Path: x.Target, Query: x.Query, Protocol: x.Conn.Protocol, Status: status,
		ResponseLength: x.Response.Sent, ResponseLatency: took, IntegrationLatency: r.upstream.took,
		IntegrationStatus: integrationStatus, CacheStatus: r.cacheStatus, SourceIP: x.Remote.Addr(),
		UserAgent: r.userAgent, PrincipalID: r.principal, APIKeyID: r.apiKeyID, Reason: r.reason, Labels: r.labels}
	if r.route != nil {
		e.APIID, e.Stage, e.RouteKey = r.route.API.ID, r.route.API.Stage, r.route.Key
	}
	if r.problem != nil {
		e.ErrorType, e.ErrorMessage = r.problem.Code.ResponseType(), r.problem.Message
	}
	if err != nil && e.Reason == "" {
		e.Reason = err.Error()
	}
	r.p.observer.Log(e)
}
