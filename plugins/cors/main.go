package main

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/guard"
	"github.com/wasmgate/wasmgate/sdk/go/mapresponse"
)

func init() {
	var p *policy
	configure.Handle(func(c configure.Config) (r configure.Result, err error) {
		p, err = decode(string(c.Bytes))
		return configure.Result{Identity: []string{"method", "header.origin", "header.access-control-request-method"}}, err
	})
	guard.Handle(func(r *guard.Request) guard.Result { return p.preflight(r) })
	mapresponse.Handle(func(r *mapresponse.Request) mapresponse.Result { return p.response(r) })
}

func main() {}

// preflight answers a CORS preflight, which carries no credentials and so comes before
// authorize; any other request goes on. It says what may be asked for; [policy.response],
// which sees this answer too, says by whom.
func (p *policy) preflight(r *guard.Request) guard.Result {
	h := r.Headers()
	// Fetch, 3.3.2: OPTIONS with Origin and Access-Control-Request-Method.
	if r.Method() != "OPTIONS" || !h.Has("origin") || !h.Has("access-control-request-method") {
		return guard.Result{}.ForIdentity(wasmgate.Hour)
	}
	var headers []wasmgate.Pair
	for _, pair := range [...]wasmgate.Pair{
		{Name: "access-control-allow-methods", Value: p.methods},
		{Name: "access-control-allow-headers", Value: p.headers},
		{Name: "access-control-max-age", Value: p.maxAge},
	} {
		if pair.Value != "" {
			headers = append(headers, pair)
		}
	}
	return guard.Reply(wasmgate.Answer{Status: 204, Headers: headers}).ForIdentity(wasmgate.Hour)
}

// response marks every answer, the gateway's own errors too, for its origin. What the
// upstream says of it does not count: the two could contradict each other.
func (p *policy) response(r *mapresponse.Request) mapresponse.Result {
	edits := []wasmgate.Edit{
		wasmgate.RemoveHeader("access-control-allow-origin"),
		wasmgate.RemoveHeader("access-control-allow-credentials"),
		wasmgate.RemoveHeader("access-control-expose-headers"),
	}
	add := func(name, value string) {
		if value != "" {
			edits = append(edits, wasmgate.AddHeader(name, wasmgate.Text(value)))
		}
	}
	if p.any {
		add("access-control-allow-origin", "*")
		add("access-control-expose-headers", p.expose)
		return mapresponse.Change(edits...).ForRoute()
	}
	// Two Origin fields are joined by a comma, which no origin has.
	if origin := r.Header("origin"); p.allows(origin) {
		add("access-control-allow-origin", origin)
		add("access-control-expose-headers", p.expose)
		if p.credentials {
			add("access-control-allow-credentials", "true")
		}
	}
	// Also where nothing is allowed: a cache must not show this answer to another origin.
	add("vary", "Origin")
	return mapresponse.Change(edits...).ForIdentity(wasmgate.Hour)
}
