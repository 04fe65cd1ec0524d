package pipeline

import (
	"context"
	"sync/atomic"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/cache"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/model"
)

// API is what the routes of one API have in common.
type API struct {
	ID             string
	Stage          string
	Protocol       model.Protocol
	StageVariables map[string]string
	// Keys finds an API key by the hash of its value: the API's own and the gateway's.
	Keys map[[32]byte]*model.APIKey
}

// Route is one route with its policies, compiled. Make one with [NewRoute]; it is safe
// for concurrent use.
type Route struct {
	API *API
	// Key is "GET /pets/{id}".
	Key string
	// Path is the resource path.
	Path string
	// Integration is the route's integration as JSON, nil when it has none.
	Integration []byte
	// Host is the authority of the integration's URI when that is written as a constant.
	Host string
	// Cache is the group of the route's stored answers.
	Cache *cache.Group
	// Metrics count the route's requests.
	Metrics *observe.RouteMetrics
	// Canaries serve part of the requests otherwise; the first that takes one serves it.
	Canaries []Canary
	// Variant keeps the stored answers of a canary apart from the route's; empty is the route.
	Variant string

	recorded bool // by any policy
	steps    [abi.HookObserve + 1][]step
	filters  []*Policy
	// wantsResponseBody keeps the upstream from compressing what a hook must read.
	wantsResponseBody bool
}

// Policy is a plugin bound with a config, as the pipeline sees it. It is shared by all
// routes that it is bound to.
type Policy struct {
	// Plugin answers the hooks; nil for a Filter.
	Plugin Plugin
	// Filter sees whole exchanges; nil for a Plugin.
	Filter Filter
	// ID names the binding for good: two policies with one ID decide alike.
	ID [32]byte
	// Name is the plugin's id, for logs.
	Name string
	// Recorded says that Plugin records calls: they can tell the request's origin.
	Recorded bool
	// OnError is model.OnErrorDeny, OnErrorSkip or OnErrorFail; empty is fail.
	OnError string
	// Constant tells whether an upstream's host stands in the policy's config or grants,
	// so that the operator wrote it. nil is never.
	Constant func(host string) bool
	// Buckets names the owner of the policy's token buckets; the zero value is ID. Two
	// versions of a plugin that serve beside each other draw from the same ones.
	Buckets [32]byte
	// Tally counts the policy's decisions; nil is nobody.
	Tally *Tally

	identity []selector
}

// Plugin is a guest bound with a config. Its methods are safe for concurrent use.
type Plugin interface {
	// Has tells whether the plugin exports the hook.
	Has(hook abi.Hook) bool
	// Mask is what the hook wants to see of a request.
	Mask(hook abi.Hook) abi.Mask
	// Identity is the selectors that make the identity of the plugin's verdicts.
	Identity() []string
	// Call runs a hook once.
	Call(ctx context.Context, hook abi.Hook, c Call) error
}

// Call is one decision: its record in, its result out.
type Call interface {
	// Encode writes the request record into scratch and returns its length.
	Encode(scratch []byte) (int, error)
	// Decode reads the result, which it may not keep.
	Decode(result []byte) error
}

// step is one hook of one policy on one route.
type step struct {
	policy *Policy
	hook   abi.Hook
	mask   abi.Mask
	route  *Route
	static atomic.Pointer[plan]
	tally  *Tally
	// scopes says which identity scopes the plugin has used here, so that routes whose
	// verdicts are never kept pay for no look-up.
	scopes atomic.Uint32
}

// NewPolicy compiles p's identity selectors; p.Plugin or p.Filter must be set.
func NewPolicy(p Policy) (*Policy, error) {
	if p.Buckets == [32]byte{} {
		p.Buckets = p.ID
	}
	if p.Plugin == nil {
		return &p, nil
	}
	for _, s := range p.Plugin.Identity() {
		kind, arg, err := abi.ParseSelector([]byte(s))
		if err != nil {
			return nil, err
		}
		p.identity = append(p.identity, selector{kind, string(arg)})
	}
	return &p, nil
}

// NewRoute binds policies, in order, to r.
func NewRoute(r Route, policies []*Policy) *Route {
	route := &r
	hooked := make([]*Policy, 0, len(policies))
	for _, p := range policies {
		route.recorded = route.recorded || p.Recorded
		if p.Filter != nil {
			route.filters = append(route.filters, p)
		} else {
			hooked = append(hooked, p)
		}
	}
	policies = hooked
	for hook := abi.HookGuard; hook <= abi.HookObserve; hook++ {
		n := 0
		for _, p := range policies {
			if p.Plugin.Has(hook) {
				n++
			}
		}
		if n == 0 {
			continue
		}
		steps := make([]step, 0, n)
		for _, p := range policies {
			if p.Plugin.Has(hook) {
				steps = append(steps, step{policy: p, hook: hook, mask: p.Plugin.Mask(hook), route: route, tally: p.Tally})
			}
		}
		route.steps[hook] = steps
	}
	for i := range route.steps[abi.HookMapResponse] {
		if route.steps[abi.HookMapResponse][i].mask.ResponseBody.Mode != abi.BodyNone {
			route.wantsResponseBody = true
		}
	}
	return route
}

// Integrates tells whether any policy of r has an integrate hook.
func (r *Route) Integrates() bool { return len(r.steps[abi.HookIntegrate]) > 0 }

// Upstreams sends calls to upstreams.
type Upstreams interface {
	// Upstream is the pool for an URL's scheme and authority. A computed authority came
	// from the request and reaches only what upstreams.allow lets it.
	Upstream(scheme, authority string, computed, insecure bool) (Upstream, error)
}

// Upstream is a pool of connections to one upstream.
type Upstream interface {
	// Do sends x's request as c says and fills x.Response.
	Do(x *exchange.Exchange, c *UpstreamCall) error
}

// UpstreamCall is what is sent to an upstream, beside x's body.
type UpstreamCall struct {
	Method string
	// Header is the fields to send.
	Header *exchange.Header
	// Target is the origin-form, path and query, sent byte for byte.
	Target string
	// Authority is the Host to send.
	Authority string
	// NoBody sends no body.
	NoBody bool
	// Edited are the names of fields that policies set or removed: a trailer is none of them.
	Edited []string
	// Forwarded tells the upstream of the client: x-forwarded-for and the like.
	Forwarded bool
	// Timeout is the whole time of the call; 0 is the process's default.
	Timeout time.Duration

	// Latency is, after Do, the time to the head of the answer or to the failure.
	Latency time.Duration
}
