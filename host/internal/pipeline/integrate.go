package pipeline

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// integrate asks the integrate hooks in order until one answers or names a call.
func (r *request) integrate() error {
	steps := r.route.steps[abi.HookIntegrate]
	for i := range steps {
		s := &steps[i]
		p, err := r.resolve(s)
		if err != nil {
			return err
		}
		switch {
		case p == nil:
			continue
		case p.decision == abi.DecisionDeny:
			return r.denied(p)
		case p.decision == abi.DecisionReply:
			r.reply(p)
			return nil
		case p.hasCall:
			return r.callUpstream(s, p)
		}
	}
	return problem.New(problem.Internal, fmt.Errorf("route %q: no integrate hook answered", r.route.Key))
}

// callUpstream sends the call that p plans.
func (r *request) callUpstream(s *step, p *plan) error {
	c := &p.call
	header := &r.x.Header
	if c.flags&abi.CallNoHeaders != 0 || len(p.edits) > 0 || r.route.wantsResponseBody {
		header = r.outgoing(c.flags)
		if err := r.applyRequest(p.edits, header); err != nil {
			return r.integrationFailed(s, err)
		}
	}
	call := &r.out.call
	*call = UpstreamCall{
		Method:    cmp.Or(r.string(c.method), r.method),
		Header:    header,
		Edited:    r.out.edited,
		NoBody:    c.flags&abi.CallNoBody != 0,
		Forwarded: c.flags&abi.CallNoHeaders == 0,
		Timeout:   c.timeout,
	}
	authority := cmp.Or(r.authority, r.string(c.authority))
	up, host, err := r.upstreamOf(s, c)
	if err != nil {
		return err
	}
	call.Authority = cmp.Or(authority, host)
	if call.Target, err = r.target(c); err != nil {
		return err
	}
	r.upstream.called = true
	err = up.Do(r.x, call)
	r.upstream.took = call.Latency
	r.upstream.status = r.x.Response.Status
	return err
}

// integrationFailed is what a call that cannot be made costs. It cannot be skipped: nobody
// else would answer.
func (r *request) integrationFailed(s *step, err error) error {
	if err := r.failed(s, err); err != nil {
		return err
	}
	return problem.New(problem.PluginFailure, fmt.Errorf("plugin %q: %w", s.policy.Name, err))
}

// outgoing is a copy of the request's header to change: the cache still needs the
// client's own for Vary.
func (r *request) outgoing(flags abi.CallFlags) *exchange.Header {
	h := &r.out.header
	h.Reset()
	if flags&abi.CallNoHeaders == 0 {
		for name, v := range r.x.Header.All() {
			h.AppendAlias(name, v)
		}
	}
	if r.route.wantsResponseBody {
		h.Del("accept-encoding")
	}
	return h
}

// upstreamOf finds the pool and the host of c's URL for this request, and leaves the
// URL's path in r.out.path when it had to be computed.
func (r *request) upstreamOf(s *step, c *callPlan) (Upstream, string, error) {
	if c.upstream != nil {
		return c.upstream, c.host, nil
	}
	scheme, host, path, err := splitURL(r.string(c.url))
	if err != nil {
		return nil, "", r.integrationFailed(s, err)
	}
	r.out.path = path
	up, err := r.snap.Upstreams.Upstream(scheme, host, host != r.route.Host, false)
	return up, host, err
}

// target is the origin-form to send: the path of c's URL, or the one that map_request set,
// and the query of both.
func (r *request) target(c *callPlan) (string, error) {
	from := len(r.kept)
	if c.upstream != nil {
		r.kept = c.target.appendTo(r.kept, r)
	} else {
		r.kept = append(r.kept, r.out.path...)
	}
	if r.pathSet {
		_, query, _ := bytes.Cut(r.kept[from:], []byte{'?'})
		if from = len(r.kept); len(query) > 0 {
			r.kept = append(append(append(r.kept, r.path...), '?'), query...)
		} else {
			r.kept = append(r.kept, r.path...)
		}
	}
	if c.flags&abi.CallNoQuery == 0 {
		r.keepQuery(from)
	}
	target := text(r.kept[from:len(r.kept):len(r.kept)])
	if i := strings.IndexFunc(target, notQuery); i >= 0 {
		return "", problem.New(problem.BadRequest, fmt.Errorf("integration target %q: byte %#x may not stand there", target, target[i]))
	}
	return target, nil
}

// keepQuery adds the client's query to the target in r.kept[from:], an empty one too: the
// question mark alone is a query, which an upstream may tell from none (RFC 3986 6.2.3).
func (r *request) keepQuery(from int) {
	has := bytes.IndexByte(r.kept[from:], '?') >= 0
	switch {
	case r.query != "" && has:
		r.kept = append(append(r.kept, '&'), r.query...)
	case r.query != "" || r.emptyQuery && !has:
		r.kept = append(append(r.kept, '?'), r.query...)
	}
}

// bind finds the upstream of a kept plan whose URL names it literally. A host that the
// operator did not write counts as computed, also when the plugin wrote it.
func (p *plan) bind(r *request, s *Policy) error {
	if !p.hasCall || len(p.call.url) == 0 || p.call.url[0].kind != 0 {
		return nil
	}
	first := p.call.url[0].literal
	_, rest, ok := strings.Cut(first, "://")
	end := strings.IndexAny(rest, "/?")
	if !ok || end < 0 && len(p.call.url) > 1 && p.call.url[1].kind != abi.SelectorPath {
		return nil // the authority goes on in a selector; a path begins with its slash
	}
	scheme, host, target, err := splitURL(first)
	if err != nil {
		return err
	}
	constant := host == r.route.Host || s.Constant != nil && s.Constant(host)
	insecure := p.call.flags&abi.CallInsecure != 0 && constant
	up, err := r.snap.Upstreams.Upstream(scheme, host, !constant, insecure)
	if err != nil {
		return err
	}
	p.call.upstream, p.call.host = up, host
	if end < 0 && len(p.call.url) > 1 {
		target = ""
	}
	p.call.target = append(value{{literal: target}}, p.call.url[1:]...)
	return nil
}

// splitURL takes an absolute URL apart without decoding anything.
func splitURL(u string) (scheme, host, target string, err error) {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return "", "", "", fmt.Errorf("result: call_url %q, want http:// or https://", u)
	}
	host, target = rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, target = rest[:i], rest[i:]
	}
	if strings.HasPrefix(target, "?") {
		target = "/" + target
	}
	if host == "" || strings.ContainsFunc(host, notAuthority) {
		return "", "", "", fmt.Errorf("result: call_url %q: host %q, want host or host:port", u, host)
	}
	if strings.ContainsFunc(target, notQuery) {
		return "", "", "", fmt.Errorf("result: call_url %q: target %q holds what may not stand in a URL", u, target)
	}
	return scheme, host, target, nil
}
