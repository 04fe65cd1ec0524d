package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math"
	"strconv"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/problem"
	"github.com/wasmgate/wasmgate/host/internal/throttle"
	"github.com/wasmgate/wasmgate/host/model"
)

// What on_error says, short.
const (
	onErrorSkip = model.OnErrorSkip
	onErrorDeny = model.OnErrorDeny
)

// admit runs the hooks that may refuse the request: guard, authorize, identify, throttle.
func (r *request) admit() error {
	if err := r.guard(); err != nil {
		return err
	}
	for _, hook := range [...]abi.Hook{abi.HookAuthorize, abi.HookIdentify} {
		steps := r.route.steps[hook]
		for i := range steps {
			p, err := r.resolve(&steps[i])
			if err != nil {
				return err
			}
			if p == nil {
				continue
			}
			if err := r.admitOne(hook, p); err != nil {
				return err
			}
		}
	}
	return r.throttle()
}

// guard asks all guards. A reply of one stands only when none denies.
func (r *request) guard() error {
	var reply *plan
	steps := r.route.steps[abi.HookGuard]
	for i := range steps {
		p, err := r.resolve(&steps[i])
		switch {
		case err != nil:
			return err
		case p == nil:
		case p.decision == abi.DecisionDeny:
			return r.denied(p)
		case p.decision == abi.DecisionReply && reply == nil:
			reply = p
		}
	}
	if reply == nil {
		return nil
	}
	r.reply(reply)
	return errAnswered
}

func (r *request) admitOne(hook abi.Hook, p *plan) error {
	if p.decision == abi.DecisionDeny {
		return r.denied(p)
	}
	if hook == abi.HookIdentify {
		return r.identify(p)
	}
	// Fail closed: an authorizer that has no opinion has not allowed.
	if p.decision != abi.DecisionAllow {
		return r.denied(p)
	}
	if p.principal != "" {
		r.principal = p.principal
	}
	r.context = append(r.context, p.context...)
	return nil
}

// denied is the problem that a deny asks for.
func (r *request) denied(p *plan) error {
	r.reason = p.reason
	status := p.status
	if status == 0 {
		status = p.hook.DenyStatus()
	}
	if status == 0 {
		status = 500
	}
	code := problem.ForStatus(status)
	switch {
	case p.hook == abi.HookGuard && status == 403:
		code = problem.Filtered
	case p.hook == abi.HookAuthorize && status == 403:
		code = problem.AccessDenied
	case p.hook == abi.HookIdentify && status == 403:
		code = problem.InvalidAPIKey
	}
	if p.errorType == "" && p.message == "" && len(p.headers) == 0 && !p.hasBody && status == code.Status() {
		return r.constant(code)
	}
	d := problem.New(code, nil)
	d.Status, d.Type = status, p.errorType
	if p.message != "" {
		d = d.WithMessage(p.message)
	}
	for _, h := range p.headers {
		d = d.WithHeader(h.name, h.value)
	}
	if p.hasBody {
		r.reply(p)
		r.x.Response.Status, r.problem = status, d
		return errAnswered
	}
	return d
}

// errAnswered ends a request whose response is already there.
var errAnswered = errors.New("answered")

// constant is code's problem as this kind of API tells it.
func (r *request) constant(code problem.Code) *problem.Problem {
	if r.route.API.Protocol == model.HTTP {
		return code.HTTP()
	}
	return code.Problem()
}

// identify looks the presented API key up by its hash, so that time tells nothing of the
// keys there are.
func (r *request) identify(p *plan) error {
	if p.apiKey == nil {
		return nil
	}
	r.buf = p.apiKey.appendTo(r.buf[:0], r)
	key := r.route.API.Keys[sha256.Sum256(r.buf)]
	twice := r.repeated(p.apiKey)
	if len(r.buf) == 0 || key == nil || key.Disabled || twice {
		switch {
		case twice:
			r.reason = "two API keys in the request"
		case len(r.buf) == 0:
			r.reason = "no API key in the request"
		case key == nil:
			r.reason = "unknown API key"
		default:
			r.reason = "API key " + strconv.Quote(key.ID) + " is disabled"
		}
		return r.constant(problem.InvalidAPIKey)
	}
	r.apiKeyID, r.usagePlanID = key.ID, key.UsagePlan
	return nil
}

// repeated tells whether v reads a query parameter that stands twice: the upstream could
// take the other one for the caller's.
func (r *request) repeated(v value) bool {
	for i := range v {
		if v[i].kind != abi.SelectorParam {
			continue
		}
		n := 0
		for _, p := range r.queryParams() {
			if p.name == v[i].arg {
				n++
			}
		}
		if n > 1 {
			return true
		}
	}
	return false
}

// throttle draws from all buckets of all policies, or from none.
func (r *request) throttle() error {
	steps := r.route.steps[abi.HookThrottle]
	if len(steps) == 0 {
		return nil
	}
	r.draws = r.draws[:0]
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
		for j := range p.buckets {
			r.draw(steps[i].policy, &p.buckets[j])
		}
	}
	if len(r.draws) == 0 {
		return nil
	}
	v := r.snap.Buckets.Take(r.x.Start, r.draws)
	if v.OK {
		return nil
	}
	r.reason = "bucket is empty"
	d := r.constant(problem.Throttled)
	if v.RetryAfter == throttle.Never {
		return d
	}
	return d.WithHeader("retry-after", strconv.Itoa(int(math.Ceil(v.RetryAfter.Seconds()))))
}

func (r *request) draw(s *Policy, b *bucket) {
	r.buf = append(r.buf[:0], s.Buckets[:]...)
	r.buf = appendPart(r.buf, b.name)
	r.buf = b.key.appendTuple(r.buf, r)
	d := throttle.Draw{Rate: b.rate, Burst: b.burst, Cost: b.cost}
	// Two hashes with secret seeds: nobody outside can look for keys that meet.
	binary.LittleEndian.PutUint64(d.Key[:8], maphash.Bytes(r.p.seeds[0], r.buf))
	binary.LittleEndian.PutUint64(d.Key[8:], maphash.Bytes(r.p.seeds[1], r.buf))
	r.draws = append(r.draws, d)
}

// verdictKeys are the keys of this identity's verdicts at s: for all routes of the
// policy, and for this route.
func (r *request) verdictKeys(s *step) (shared, here verdictKey) {
	r.buf = append(r.buf[:0], s.policy.ID[:]...)
	r.buf = append(r.buf, byte(s.hook), byte(abi.ScopeIdentity))
	r.buf = appendPart(r.buf, r.route.API.ID)
	r.buf = appendPart(r.buf, r.route.API.Stage)
	for _, sel := range s.policy.identity {
		r.buf = appendSelected(r.buf, r, sel)
	}
	scopes := s.scopes.Load()
	memo := memoOf(r.x.Conn)
	if memo.holds(r.route.Key, scopes, r.buf) {
		return memo.shared, memo.here
	}
	memo = memo.next(r.x.Conn, r.route.Key, scopes, r.buf)
	if scopes == 0 || scopes&(1<<abi.ScopeIdentity) != 0 {
		shared = sha256.Sum256(r.buf)
	}
	if scopes == 0 || scopes&(1<<abi.ScopeIdentityRoute) != 0 {
		r.buf[len(s.policy.ID)+1] = byte(abi.ScopeIdentityRoute)
		r.buf = appendPart(r.buf, r.route.Key)
		here = sha256.Sum256(r.buf)
	}
	if memo != nil {
		memo.shared, memo.here = shared, here
		kept := any(memo)
		r.x.Conn.Memo.Store(&kept)
	}
	return shared, here
}

// mapRequest runs map_request.
func (r *request) mapRequest() error {
	steps := r.route.steps[abi.HookMapRequest]
	for i := range steps {
		p, err := r.resolve(&steps[i])
		if err != nil {
			return err
		}
		if p == nil {
			continue
		}
		switch p.decision {
		case abi.DecisionDeny:
			return r.denied(p)
		case abi.DecisionReply:
			r.reply(p)
			return errAnswered
		}
		if err := r.applyRequest(p.edits, &r.x.Header); err != nil {
			if err := r.failed(&steps[i], err); err != nil {
				return err
			}
		}
	}
	return nil
}

// reply answers as p says.
func (r *request) reply(p *plan) {
	resp := &r.x.Response
	resp.Reset()
	resp.Status = p.status
	if resp.Status == 0 {
		resp.Status = 200
	}
	for _, h := range p.headers {
		resp.Header.Add(h.name, h.value)
	}
	resp.SetBody(p.body)
}

// mapResponse runs map_response on whatever the answer is, the gateway's own errors too:
// a browser must be able to read those (CORS).
func (r *request) mapResponse() error {
	steps := r.route.steps[abi.HookMapResponse]
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
		if err := r.applyResponse(p.edits); err != nil {
			if err := r.failed(&steps[i], err); err != nil {
				return err
			}
		}
	}
	return nil
}
