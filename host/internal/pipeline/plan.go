package pipeline

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// plan is what a hook answered, decoded. Its strings lie in arena: a plan of one request
// is used again, a kept one is never changed.
type plan struct {
	arena   []byte
	hook    abi.Hook
	expires time.Time // of an identity-scoped plan

	decision  abi.Decision
	scope     abi.Scope
	ttl       time.Duration
	status    int
	errorType string
	message   string
	reason    string
	principal string
	context   []pair
	headers   []pair
	body      []byte
	hasBody   bool
	state     []byte
	labels    []pair

	apiKey   value
	buckets  []bucket
	edits    []edit
	cacheKey value
	cacheTTL time.Duration
	bypass   bool
	call     callPlan
	hasCall  bool

	parts []part // backing of all values
}

type bucket struct {
	name  string
	rate  float64
	burst uint64
	cost  uint64
	key   value
}

type edit struct {
	op    abi.Op
	name  string
	value value
}

// callPlan is one call to an upstream.
type callPlan struct {
	method    value
	url       value
	authority value
	flags     abi.CallFlags
	timeout   time.Duration

	// Of a URL whose scheme and authority are literal: found once.
	upstream Upstream
	host     string
	target   value
}

// reset empties p and keeps its memory.
func (p *plan) reset() {
	*p = plan{arena: p.arena[:0], context: p.context[:0], headers: p.headers[:0], labels: p.labels[:0],
		buckets: p.buckets[:0], edits: p.edits[:0], parts: p.parts[:0]}
}

// decode fills p with what the guest returned for hook; an empty result is the hook's default.
func (p *plan) decode(hook abi.Hook, result []byte) error {
	p.reset()
	p.hook = hook
	if len(result) == 0 {
		return nil
	}
	p.arena = append(p.arena, result...)
	rec, err := abi.ParseResult(p.arena, hook)
	if err != nil {
		return err
	}
	if err := p.decodeVerdict(&rec); err != nil {
		return err
	}
	p.principal = text(rec.Bytes(abi.ResultPrincipal))
	p.errorType = text(rec.Bytes(abi.ResultErrorType))
	p.message = text(rec.Bytes(abi.ResultMessage))
	p.reason = text(rec.Bytes(abi.ResultReason))
	p.state = rec.Bytes(abi.ResultState)
	if rec.Has(abi.ResultBody) {
		p.body, p.hasBody = rec.Bytes(abi.ResultBody), true
	}
	p.context = appendPairs(p.context, &rec, abi.ResultContext)
	p.labels = appendPairs(p.labels, &rec, abi.ResultLabels)
	if abi.ResultHeaders.In(hook) {
		p.headers = appendPairs(p.headers, &rec, abi.ResultHeaders)
	}
	for _, h := range p.headers {
		if err := checkHeader(h.name, h.value); err != nil {
			return err
		}
	}
	if err := checkErrorType(p.errorType); err != nil {
		return err
	}
	return p.decodeHook(&rec)
}

// decodeVerdict reads the decision and for whom it holds.
func (p *plan) decodeVerdict(rec *abi.Result) error {
	decision, scope := p.uint(rec, abi.ResultDecision), p.uint(rec, abi.ResultScope)
	ttl, status := p.uint(rec, abi.ResultTTLMS), p.uint(rec, abi.ResultStatus)
	p.decision, p.scope, p.status = abi.Decision(decision), abi.Scope(scope), int(status)
	p.ttl = time.Duration(ttl) * time.Millisecond
	switch {
	case p.decision == abi.DecisionReply && p.hook != abi.HookGuard && p.hook != abi.HookMapRequest && p.hook != abi.HookIntegrate:
		return fmt.Errorf("result: decision reply from %s, want it from guard, map_request or integrate", p.hook)
	case p.decision == abi.DecisionDeny && status != 0 && status < 400:
		return fmt.Errorf("result: deny with status %d, want 400 to 599", status)
	case p.scope != abi.ScopeRequest && rec.Has(abi.ResultState):
		return fmt.Errorf("result: state with scope %s, want scope request", p.scope)
	}
	return nil
}

// uint is a number of a field that belongs to the hook; the contract ignores all others.
func (p *plan) uint(rec *abi.Result, id abi.ResultField) uint64 {
	if !id.In(p.hook) {
		return 0
	}
	v, _ := rec.Uint(id)
	return v
}

// decodeHook reads what only one hook answers.
func (p *plan) decodeHook(rec *abi.Result) error {
	switch p.hook {
	case abi.HookIdentify:
		p.apiKey = p.value(rec, abi.ResultAPIKey)
	case abi.HookThrottle:
		return p.decodeBuckets(rec)
	case abi.HookCacheKey:
		p.cacheKey = p.value(rec, abi.ResultCacheKey)
		ttl, _ := rec.Uint(abi.ResultCacheTTLMS)
		bypass, _ := rec.Uint(abi.ResultCacheBypass)
		p.cacheTTL = time.Duration(min(ttl, abi.MaxTTLMS)) * time.Millisecond
		p.bypass = bypass != 0
	case abi.HookIntegrate:
		p.hasCall = rec.Has(abi.ResultCallURL)
		flags, _ := rec.Uint(abi.ResultCallFlags)
		timeout, _ := rec.Uint(abi.ResultCallTimeoutMS)
		p.call = callPlan{method: p.value(rec, abi.ResultCallMethod), url: p.value(rec, abi.ResultCallURL),
			authority: p.value(rec, abi.ResultCallAuthority), flags: abi.CallFlags(flags),
			timeout: time.Duration(min(timeout, abi.MaxCallTimeoutMS)) * time.Millisecond}
	}
	return p.decodeEdits(rec)
}

func (p *plan) decodeBuckets(rec *abi.Result) error {
	for b := range rec.Buckets(abi.ResultBuckets).All {
		if !(b.Rate >= 0) || b.Rate > abi.MaxBucketNumber || b.Burst > abi.MaxBucketNumber || b.Cost > abi.MaxBucketNumber {
			return fmt.Errorf("result: bucket %q: rate %v, burst %d, cost %d, want 0 to 1e9", b.Name, b.Rate, b.Burst, b.Cost)
		}
		p.buckets = append(p.buckets, bucket{text(b.Name), b.Rate, b.Burst, b.Cost, p.parse(b.Key)})
	}
	return nil
}

func (p *plan) decodeEdits(rec *abi.Result) error {
	if !abi.ResultEdits.In(p.hook) {
		return nil
	}
	for e := range rec.Edits(abi.ResultEdits).All {
		d := edit{e.Op, text(e.Name), p.parse(e.Value)}
		if err := d.check(p.hook); err != nil {
			return err
		}
		p.edits = append(p.edits, d)
	}
	return nil
}

// value is nil when the field is absent, and not nil when it is empty: no cache key is no
// caching, an empty one is one entry for each path.
func (p *plan) value(rec *abi.Result, id abi.ResultField) value {
	v, ok := rec.Value(id)
	if !ok {
		return nil
	}
	if parts := p.parse(v); parts != nil {
		return parts
	}
	return value{}
}

func (p *plan) parse(v abi.Value) value {
	from := len(p.parts)
	for q := range v.Parts {
		if q.Selector == 0 {
			p.parts = append(p.parts, part{literal: text(q.Text)})
			continue
		}
		p.parts = append(p.parts, part{selector: selector{q.Selector, text(q.Text)}})
	}
	return p.parts[from:len(p.parts):len(p.parts)]
}

func appendPairs(dst []pair, rec *abi.Result, id abi.ResultField) []pair {
	for name, v := range rec.Pairs(id).All {
		dst = append(dst, pair{text(name), text(v)})
	}
	return dst
}

// keep is a copy of p that outlives the request, decoded anew from its own bytes.
func (p *plan) keep(now time.Time) (*plan, error) {
	kept := new(plan)
	if err := kept.decode(p.hook, p.arena); err != nil {
		return nil, err
	}
	kept.expires = now.Add(kept.ttl)
	return kept, nil
}

// checkErrorType refuses what could not stand in a header.
func checkErrorType(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return fmt.Errorf("result: error_type %q, want visible ASCII", s)
	}
	return nil
}

// sourceIP is the client's address without port or zone.
func (r *request) sourceIP() string {
	if r.ip == "" {
		addr := r.x.Remote.Addr()
		if addr == (netip.Addr{}) {
			return ""
		}
		r.ipBytes = addr.Unmap().WithZone("").AppendTo(r.ipBytes[:0])
		r.ip = text(r.ipBytes)
	}
	return r.ip
}
