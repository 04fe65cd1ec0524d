package pipeline_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
	"github.com/wasmgate/wasmgate/host/model"
)

func allow(w out)                 { w.Uint(abi.ResultDecision, uint64(abi.DecisionAllow)) }
func scope(w out, s abi.Scope)    { w.Uint(abi.ResultScope, uint64(s)) }
func edits(w out, e ...abi.Edit)  { w.Edits(abi.ResultEdits, e) }
func literal(s string) abi.Value  { return abi.Value(nil).Literal(s) }
func selected(s string) abi.Value { return abi.Value(nil).Select(s) }
func edit(op abi.Op, name string, v abi.Value) abi.Edit {
	return abi.Edit{Op: op, Name: []byte(name), Value: v}
}

func TestOrderOfHooks(t *testing.T) {
	var mu sync.Mutex
	var order []string
	everything := &plugin{hooks: map[abi.Hook]func(in, out){}}
	for h := range abi.Hooks() {
		if h == abi.HookConfigure {
			continue
		}
		everything.hooks[h] = func(_ in, w out) {
			mu.Lock()
			order = append(order, h.String())
			mu.Unlock()
			switch h {
			case abi.HookAuthorize:
				allow(w)
			case abi.HookIntegrate:
				w.Value(abi.ResultCallURL, literal("http://up.test:80/"))
			}
		}
	}
	b := newBench(t)
	b.route(everything)
	a := b.ask(question{})
	require.Equal(t, 200, a.status)
	require.Equal(t, "from upstream", a.body)
	require.Equal(t, "guard authorize identify throttle map_request cache_key integrate map_response observe", strings.Join(order, " "))
}

func TestStaticPlanIsAskedOnce(t *testing.T) {
	b := newBench(t)
	integrate := callUpstream()
	b.route(integrate)
	for range 5 {
		require.Equal(t, 200, b.ask(question{}).status)
	}
	require.EqualValues(t, 1, integrate.calls.Load())
	require.EqualValues(t, 5, b.up.calls.Load())
	require.Equal(t, []string{"http://up.test:80 constant"}, b.up.opened)
	require.Equal(t, "/x", b.up.last.Target)
	require.Equal(t, "up.test:80", b.up.last.Authority)
}

func TestHostThatThePluginWroteIsComputed(t *testing.T) {
	b := newBench(t)
	b.route(on(abi.HookIntegrate, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		w.Value(abi.ResultCallURL, literal("http://10.0.0.1/admin"))
	}))
	require.Equal(t, 200, b.ask(question{}).status)
	require.Equal(t, []string{"http://10.0.0.1 computed"}, b.up.opened)
}

func TestIdentityVerdicts(t *testing.T) {
	authorize := on(abi.HookAuthorize, func(r in, w out) {
		allow(w)
		scope(w, abi.ScopeIdentity)
		w.Uint(abi.ResultTTLMS, 60_000)
		for name, v := range r.Pairs(abi.FieldHeaders).All {
			if string(name) == "x-user" {
				w.Bytes(abi.ResultPrincipal, v)
			}
		}
	})
	authorize.identity = []string{"header.x-user", "header.x-tenant"}
	tag := on(abi.HookMapRequest, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		edits(w, edit(abi.OpSetHeader, "x-principal", selected("principal")))
	})
	b := newBench(t)
	b.route(authorize, tag, callUpstream())
	for range 3 {
		b.ask(question{header: []string{"x-user", "ann"}})
		require.Equal(t, "ann", b.up.header["x-principal"])
	}
	require.EqualValues(t, 1, authorize.calls.Load(), "one identity is asked once")
	b.ask(question{target: "/y/7", header: []string{"x-user", "ann"}})
	require.EqualValues(t, 2, authorize.calls.Load(), "a route learns what scopes its plugin uses by asking once")
	b.ask(question{target: "/y/7", header: []string{"x-user", "ann"}})
	require.EqualValues(t, 2, authorize.calls.Load())

	// Tuples that a careless key would confuse (CVE-2026-71326).
	for i, h := range [][]string{
		{"x-user", "a", "x-tenant", "bc"}, {"x-user", "ab", "x-tenant", "c"}, {"x-user", "abc"},
		{"x-user", "abc", "x-tenant", ""}, {"x-user", "", "x-tenant", "abc"}, {"x-tenant", "abc"},
	} {
		b.ask(question{header: h})
		require.EqualValues(t, 3+i, authorize.calls.Load(), "%q is an identity of its own", h)
	}
}

func TestVerdictEndsWithItsTTL(t *testing.T) {
	guard := on(abi.HookGuard, func(_ in, w out) {
		scope(w, abi.ScopeIdentityRoute)
		w.Uint(abi.ResultTTLMS, 1)
	})
	guard.identity = []string{"source_ip"}
	b := newBench(t)
	b.route(guard, callUpstream())
	b.ask(question{})
	until := time.Now().Add(2 * time.Millisecond)
	for time.Now().Before(until) {
	}
	b.ask(question{})
	require.EqualValues(t, 2, guard.calls.Load())
}

func TestDenials(t *testing.T) {
	for _, c := range []struct {
		name   string
		hook   abi.Hook
		result func(w out)
		status int
		body   string
		typ    string
	}{
		{"guard", abi.HookGuard, func(w out) { w.Uint(abi.ResultDecision, 2) }, 403, `{"message":"Forbidden"}`, "ForbiddenException"},
		{"authorize denies", abi.HookAuthorize, func(w out) { w.Uint(abi.ResultDecision, 2) }, 401, `{"message":"Unauthorized"}`, "UnauthorizedException"},
		{"authorize without opinion", abi.HookAuthorize, func(out) {}, 401, `{"message":"Unauthorized"}`, "UnauthorizedException"},
		{"authorize 403", abi.HookAuthorize, func(w out) { w.Uint(abi.ResultDecision, 2); w.Uint(abi.ResultStatus, 403) }, 403,
			`{"Message":"User is not authorized to access this resource"}`, "AccessDeniedException"},
		{"identify", abi.HookIdentify, func(w out) { w.Uint(abi.ResultDecision, 2) }, 403, `{"message":"Forbidden"}`, "ForbiddenException"},
		{"throttle", abi.HookThrottle, func(w out) { w.Uint(abi.ResultDecision, 2) }, 429, `{"message":"Too Many Requests"}`, "TooManyRequestsException"},
		{"map_request", abi.HookMapRequest, func(w out) {
			w.Uint(abi.ResultDecision, 2)
			w.Uint(abi.ResultStatus, 422)
			w.String(abi.ResultErrorType, "TeapotException")
			w.String(abi.ResultMessage, `no "tea"`)
		}, 422, `{"message":"no \"tea\""}`, "TeapotException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.route(on(c.hook, func(_ in, w out) { c.result(w) }), callUpstream())
			a := b.ask(question{})
			require.Equal(t, c.status, a.status)
			require.Equal(t, c.body, a.body)
			require.Equal(t, c.typ, a.header["x-amzn-errortype"])
			require.Len(t, a.header["x-amzn-requestid"], 36)
			require.Zero(t, b.up.calls.Load())
		})
	}
}

func TestDenyWithBody(t *testing.T) {
	b := newBench(t)
	b.route(on(abi.HookAuthorize, func(_ in, w out) {
		w.Uint(abi.ResultDecision, uint64(abi.DecisionDeny))
		w.BeginPairs(abi.ResultHeaders)
		w.PairStrings("content-type", "text/html")
		w.EndPairs()
		w.String(abi.ResultBody, "<h1>no</h1>")
	}), callUpstream())
	a := b.ask(question{})
	require.Equal(t, 401, a.status)
	require.Equal(t, "<h1>no</h1>", a.body)
	require.Equal(t, "text/html", a.header["content-type"])
}

func TestOnError(t *testing.T) {
	trap := func() ([]byte, error) { return nil, errors.New("trap: unreachable") }
	hostile := func() ([]byte, error) { return []byte("not a record at all, but long enough"), nil }
	for _, c := range []struct {
		hook    abi.Hook
		onError string
		want    int
	}{
		{abi.HookGuard, "", 500}, {abi.HookGuard, model.OnErrorSkip, 403}, {abi.HookGuard, model.OnErrorDeny, 403},
		{abi.HookAuthorize, "", 500}, {abi.HookAuthorize, model.OnErrorSkip, 403},
		{abi.HookIdentify, "", 500}, {abi.HookThrottle, "", 500}, {abi.HookThrottle, model.OnErrorSkip, 200},
		{abi.HookMapRequest, "", 500}, {abi.HookMapRequest, model.OnErrorSkip, 200}, {abi.HookMapRequest, model.OnErrorDeny, 403},
		{abi.HookCacheKey, model.OnErrorSkip, 200}, {abi.HookMapResponse, "", 500}, {abi.HookMapResponse, model.OnErrorSkip, 200},
		{abi.HookObserve, "", 200},
	} {
		for kind, raw := range map[string]func() ([]byte, error){"trap": trap, "hostile": hostile} {
			t.Run(fmt.Sprintf("%s %s %s", c.hook, c.onError, kind), func(t *testing.T) {
				b := newBench(t)
				bad := &plugin{raw: map[abi.Hook]func() ([]byte, error){c.hook: raw}}
				b.serve(b.policy(pipeline.Policy{Plugin: bad, Name: "bad", OnError: c.onError}),
					b.policy(pipeline.Policy{Plugin: callUpstream(), Name: "up"}))
				a := b.ask(question{})
				require.Equal(t, c.want, a.status)
				require.NotContains(t, a.body, "unreachable", "the client learns nothing of the cause")
			})
		}
	}
}

func TestAPIKeys(t *testing.T) {
	b := newBench(t)
	b.api.Keys = map[[32]byte]*model.APIKey{
		sha256.Sum256([]byte("good-key")): {ID: "mobile", UsagePlan: "gold"},
		sha256.Sum256([]byte("off-key")):  {ID: "old", Disabled: true},
	}
	identify := on(abi.HookIdentify, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		w.Value(abi.ResultAPIKey, selected("header.x-api-key"))
	})
	tag := on(abi.HookMapRequest, func(_ in, w out) {
		edits(w, edit(abi.OpSetHeader, "x-key", abi.Value(nil).Select("api_key_id").Literal("/").Select("usage_plan_id")))
	})
	b.route(identify, tag, callUpstream())
	for key, want := range map[string]int{"good-key": 200, "off-key": 403, "bad-key": 403, "": 403} {
		a := b.ask(question{header: []string{"x-api-key", key}})
		require.Equal(t, want, a.status, "key %q", key)
	}
	require.Equal(t, 403, b.ask(question{}).status)
	require.Equal(t, "mobile/gold", b.up.header["x-key"])
	require.EqualValues(t, 1, identify.calls.Load())
}

func TestThrottle(t *testing.T) {
	b := newBench(t)
	b.route(on(abi.HookThrottle, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		w.Buckets(abi.ResultBuckets, []abi.Bucket{{Rate: 0.5, Burst: 2, Cost: 1, Name: []byte("ip"), Key: selected("source_ip")}})
	}), callUpstream())
	require.Equal(t, 200, b.ask(question{}).status)
	require.Equal(t, 200, b.ask(question{}).status)
	a := b.ask(question{})
	require.Equal(t, 429, a.status)
	require.Equal(t, "2", a.header["retry-after"])
	require.Equal(t, 200, b.ask(question{ip: "192.0.2.2"}).status, "another client has a bucket of its own")
}

func TestRequestEdits(t *testing.T) {
	b := newBench(t)
	b.route(on(abi.HookMapRequest, func(_ in, w out) {
		edits(w,
			edit(abi.OpSetHeader, "x-a", literal("1")),
			edit(abi.OpAddHeader, "x-copy", selected("header.x-in")),
			edit(abi.OpRemoveHeader, "x-in", nil),
			edit(abi.OpSetQuery, "q", literal("a b&c")),
			edit(abi.OpRemoveQuery, "drop", nil),
			edit(abi.OpSetPath, "", abi.Value(nil).Literal("/new%2F/").Select("param.id")),
			edit(abi.OpSetMethod, "", literal("PUT")),
			edit(abi.OpSetAuthority, "", literal("other.test")),
			edit(abi.OpSetBody, "", literal("changed")))
	}), callUpstream())
	a := b.ask(question{method: "POST", query: "id=7&drop=1&q=old&drop=2", header: []string{"x-in", "v"}, body: "sent"})
	require.Equal(t, 200, a.status)
	require.Equal(t, "PUT", b.up.last.Method)
	require.Equal(t, "/new%2F/7?id=7&q=a%20b%26c", b.up.last.Target)
	require.Equal(t, "other.test", b.up.last.Authority)
	require.Equal(t, "changed", b.up.body)
	require.Equal(t, map[string]string{"x-a": "1", "x-copy": "v"}, b.up.header)
}

func TestClientValuesCannotSplit(t *testing.T) {
	for name, e := range map[string]abi.Edit{
		"header": edit(abi.OpSetHeader, "x-a", selected("param.v")),
		"path":   edit(abi.OpSetPath, "", abi.Value(nil).Literal("/").Select("param.v")),
		"method": edit(abi.OpSetMethod, "", selected("param.v")),
		"host":   edit(abi.OpSetAuthority, "", selected("param.v")),
		"query":  edit(abi.OpSetRawQuery, "", selected("param.v")),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.route(on(abi.HookMapRequest, func(_ in, w out) { edits(w, e) }), callUpstream())
			require.Equal(t, 400, b.ask(question{query: "v=a%0d%0ax:%20y"}).status)
			require.Zero(t, b.up.calls.Load())
		})
	}
	b := newBench(t)
	b.route(on(abi.HookMapRequest, func(_ in, w out) {
		edits(w, edit(abi.OpSetHeader, "x-a", selected("param.v")))
	}), callUpstream())
	require.Equal(t, 200, b.ask(question{query: "v=$%7Bheader.x%7D"}).status)
	require.Equal(t, "${header.x}", b.up.header["x-a"], "what a client sends is never a template")
}

func TestEditsThatNoRequestMakesGood(t *testing.T) {
	for name, e := range map[string]abi.Edit{
		"framing":         edit(abi.OpSetHeader, "content-length", literal("5")),
		"host":            edit(abi.OpSetHeader, "host", literal("evil")),
		"connection":      edit(abi.OpAddHeader, "connection", literal("x")),
		"upper case":      edit(abi.OpSetHeader, "X-A", literal("1")),
		"line break":      edit(abi.OpSetHeader, "x-a", literal("1\r\nb: 2")),
		"empty name":      edit(abi.OpSetHeader, "", literal("1")),
		"status":          edit(abi.OpSetStatus, "", literal("200")),
		"name with blank": edit(abi.OpSetHeader, "x a", literal("1")),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.route(on(abi.HookMapRequest, func(_ in, w out) { edits(w, e) }), callUpstream())
			require.Equal(t, 500, b.ask(question{}).status)
			require.Zero(t, b.up.calls.Load())
		})
	}
}

func TestReply(t *testing.T) {
	b := newBench(t)
	b.route(on(abi.HookMapRequest, func(_ in, w out) {
		w.Uint(abi.ResultDecision, uint64(abi.DecisionReply))
		w.Uint(abi.ResultStatus, 204)
		w.BeginPairs(abi.ResultHeaders)
		w.PairStrings("x-a", "1")
		w.PairStrings("x-a", "2")
		w.EndPairs()
	}), callUpstream())
	a := b.ask(question{})
	require.Equal(t, 204, a.status)
	require.Zero(t, b.up.calls.Load())
}

func TestResponseEditsReachErrorsToo(t *testing.T) {
	b := newBench(t)
	cors := on(abi.HookMapResponse, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		edits(w, edit(abi.OpSetHeader, "access-control-allow-origin", literal("*")))
	})
	b.route(cors, on(abi.HookAuthorize, func(_ in, w out) { w.Uint(abi.ResultDecision, uint64(abi.DecisionDeny)) }), callUpstream())
	a := b.ask(question{})
	require.Equal(t, 401, a.status)
	require.Equal(t, "*", a.header["access-control-allow-origin"])
}

func TestResponseEdits(t *testing.T) {
	b := newBench(t)
	b.up.answer = func(x *exchange.Exchange) {
		x.Response.Status = 200
		x.Response.Header.Add("etag", `"1"`)
		x.Response.Header.Add("x-old", "v")
		x.Response.SetBody([]byte(`{"a":1}`))
	}
	b.route(callUpstream(), on(abi.HookMapResponse, func(r in, w out) {
		edits(w, edit(abi.OpSetStatus, "", literal("201")),
			edit(abi.OpSetHeader, "x-new", selected("response_header.x-old")),
			edit(abi.OpRemoveHeader, "x-old", nil),
			edit(abi.OpSetBody, "", literal("<"+string(r.Bytes(abi.FieldResponseBody))+">")))
	}))
	a := b.ask(question{})
	require.Equal(t, 201, a.status)
	require.Equal(t, `<{"a":1}>`, a.body)
	require.Equal(t, "v", a.header["x-new"])
	require.NotContains(t, a.header, "x-old")
	require.NotContains(t, a.header, "etag", "a validator of the old body")
}

func TestCacheIsKeyedByIdentityAndAppliesResponseEditsToHits(t *testing.T) {
	b := newBench(t)
	key := on(abi.HookCacheKey, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		w.Value(abi.ResultCacheKey, selected("param.id"))
		w.Uint(abi.ResultCacheTTLMS, 60_000)
	})
	origin := on(abi.HookMapResponse, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		edits(w, edit(abi.OpSetHeader, "x-origin", selected("header.origin")))
	})
	b.route(key, origin, callUpstream())
	require.Equal(t, "a", b.ask(question{query: "id=1", header: []string{"origin", "a"}}).header["x-origin"])
	hit := b.ask(question{query: "id=1&other=9", header: []string{"origin", "b"}})
	require.Contains(t, hit.header["cache-status"], "hit")
	require.Equal(t, "b", hit.header["x-origin"], "no client sees what was made for another")
	require.EqualValues(t, 1, b.up.calls.Load())
	b.ask(question{query: "id=2"})
	b.ask(question{target: "/y/1", query: "id=1"})
	b.ask(question{target: "/y/2", query: "id=1"})
	require.EqualValues(t, 4, b.up.calls.Load(), "another parameter, route or path is another entry")
}

func TestBodyModes(t *testing.T) {
	var got, truncated string
	body := on(abi.HookMapRequest, func(r in, _ out) {
		cut, _ := r.Uint(abi.FieldBodyTruncated)
		got, truncated = string(r.Bytes(abi.FieldBody)), fmt.Sprint(cut)
	})
	mask := abi.Mask{Fields: 1<<abi.FieldBody | 1<<abi.FieldBodyTruncated, Body: abi.BodyNeed{Mode: abi.BodyPrefix, Max: 4}}
	body.masks = map[abi.Hook]abi.Mask{abi.HookMapRequest: mask}
	b := newBench(t)
	b.route(body, callUpstream())
	require.Equal(t, 200, b.ask(question{method: "POST", body: "123456"}).status)
	require.Equal(t, "1234 1", got+" "+truncated)
	require.Equal(t, "123456", b.up.body, "the upstream gets all of it")

	mask.Body.Mode = abi.BodyFull
	body.masks[abi.HookMapRequest] = mask
	b.route(body, callUpstream())
	require.Equal(t, 413, b.ask(question{method: "POST", body: "123456"}).status)
	require.Equal(t, 200, b.ask(question{method: "POST", body: "1234"}).status)
	require.Equal(t, "1234 0", got+" "+truncated)
}

func TestGuardRepliesBeforeAuthorize(t *testing.T) {
	preflight := on(abi.HookGuard, func(r in, w out) {
		if string(r.Bytes(abi.FieldMethod)) == "OPTIONS" {
			w.Uint(abi.ResultDecision, uint64(abi.DecisionReply))
			w.Uint(abi.ResultStatus, 204)
		}
	})
	refuse := on(abi.HookAuthorize, func(out in, w out) { w.Uint(abi.ResultDecision, uint64(abi.DecisionDeny)) })
	b := newBench(t)
	b.route(preflight, refuse, callUpstream())
	ask := question{method: "OPTIONS", header: []string{"origin", "https://a.test", "access-control-request-method", "GET"}}
	require.Equal(t, 204, b.ask(ask).status, "a preflight on a resource without OPTIONS")
	require.Equal(t, 401, b.ask(question{}).status)
	require.Equal(t, 403, b.ask(question{method: "OPTIONS"}).status, "no preflight, no route")
	ask.header[3] = "DELETE"
	require.Equal(t, 403, b.ask(ask).status, "no route for the method asked about")
	ask.header[3] = "GET"
	b.route(preflight, on(abi.HookGuard, func(_ in, w out) { w.Uint(abi.ResultDecision, uint64(abi.DecisionDeny)) }), callUpstream())
	require.Equal(t, 403, b.ask(ask).status, "a guard that denies wins over one that replies")
	b.route(refuse, callUpstream())
	require.Equal(t, 403, b.ask(ask).status)
	require.Zero(t, b.up.calls.Load())
}

func TestEditsAreAllOrNoneAndDoNotReadEachOther(t *testing.T) {
	b := newBench(t)
	bad := &plugin{hooks: map[abi.Hook]func(in, out){abi.HookMapRequest: func(_ in, w out) {
		edits(w, edit(abi.OpSetHeader, "x-a", literal("1")), edit(abi.OpSetPath, "", literal("no slash")))
	}}}
	swap := on(abi.HookMapRequest, func(_ in, w out) {
		edits(w, edit(abi.OpSetHeader, "x-one", selected("header.x-two")), edit(abi.OpSetHeader, "x-two", selected("header.x-one")),
			edit(abi.OpSetHeader, "x-gone", selected("header.x-absent")), edit(abi.OpAddHeader, "x-new", selected("header.x-absent")),
			edit(abi.OpSetQuery, "q", selected("param.absent")))
	})
	b.serve(b.policy(pipeline.Policy{Plugin: bad, Name: "bad", OnError: model.OnErrorSkip}),
		b.policy(pipeline.Policy{Plugin: swap, Name: "swap"}), b.policy(pipeline.Policy{Plugin: callUpstream(), Name: "up"}))
	require.Equal(t, 200, b.ask(question{query: "q=1", header: []string{"x-one", "1", "x-two", "2", "x-gone", "3"}}).status)
	require.Equal(t, map[string]string{"x-one": "2", "x-two": "1"}, b.up.header)
	require.Equal(t, "/x", b.up.last.Target)
}

func TestNoRoute(t *testing.T) {
	b := newBench(t)
	b.route(callUpstream())
	a := b.ask(question{target: "/nowhere"})
	require.Equal(t, 403, a.status)
	require.Equal(t, `{"message":"Missing Authentication Token"}`, a.body)
	require.Equal(t, "MissingAuthenticationTokenException", a.header["x-amzn-errortype"])
	b.api.Protocol = model.HTTP
	b.route(callUpstream())
	require.Equal(t, 404, b.ask(question{target: "/nowhere"}).status)
}

func TestStateReachesLaterHooksOfThePolicyOnly(t *testing.T) {
	two := &plugin{hooks: map[abi.Hook]func(in, out){
		abi.HookMapRequest: func(_ in, w out) { w.String(abi.ResultState, "kept") },
		abi.HookMapResponse: func(r in, w out) {
			edits(w, edit(abi.OpSetHeader, "x-state", literal(string(r.Bytes(abi.FieldState)))))
		},
	}}
	other := on(abi.HookMapResponse, func(r in, w out) {
		edits(w, edit(abi.OpSetHeader, "x-other", literal("<"+string(r.Bytes(abi.FieldState))+">")))
	})
	b := newBench(t)
	b.route(two, other, callUpstream())
	a := b.ask(question{})
	require.Equal(t, "kept", a.header["x-state"])
	require.Equal(t, "<>", a.header["x-other"])
}

func TestSnapshotEndsWithItsLastRequest(t *testing.T) {
	b := newBench(t)
	closed := make(chan struct{})
	table := b.table(b.policy(pipeline.Policy{Plugin: callUpstream(), Name: "up"}))
	b.p.Swap(b.snapshot(table, func() { close(closed) }))
	inside, goOn := make(chan struct{}), make(chan struct{})
	b.up.answer = func(x *exchange.Exchange) { close(inside); <-goOn; x.Response.Status = 204 }
	var wg sync.WaitGroup
	wg.Go(func() { b.ask(question{}) })
	<-inside
	b.up.answer = nil
	b.p.Swap(b.snapshot(table, func() {}))
	select {
	case <-closed:
		t.Fatal("the snapshot was closed under a request")
	default:
	}
	close(goOn)
	wg.Wait()
	<-closed
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	b := newBench(t)
	authorize := on(abi.HookAuthorize, func(_ in, w out) {
		allow(w)
		scope(w, abi.ScopeIdentity)
		w.Uint(abi.ResultTTLMS, 3_600_000)
		w.String(abi.ResultPrincipal, "ann")
	})
	authorize.identity = []string{"header.authorization"}
	throttle := on(abi.HookThrottle, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		var buckets []abi.Bucket
		for _, by := range []string{"principal", "caller", "source_network"} {
			buckets = append(buckets, abi.Bucket{Rate: 1e9, Burst: 1e9, Cost: 1, Name: []byte(by), Key: selected(by)})
		}
		w.Buckets(abi.ResultBuckets, buckets)
	})
	transform := on(abi.HookMapRequest, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		edits(w, edit(abi.OpSetHeader, "x-user", selected("principal")))
	})
	b.route(authorize, throttle, transform, on(abi.HookIntegrate, func(_ in, w out) {
		w.Uint(abi.ResultDecision, uint64(abi.DecisionReply))
		scope(w, abi.ScopeRoute)
		w.String(abi.ResultBody, "ok")
	}))
	x := b.exchange()
	serve := func() {
		x.Header.Reset()
		x.Header.Add("authorization", "Bearer abc")
		x.Response.Reset()
		b.p.ServeExchange(x)
		b.p.FinishExchange(x, nil)
	}
	for _, client := range []string{"192.0.2.1:1", "[2001:db8:1:2:3:4:5:6]:1"} {
		x.Remote = netip.MustParseAddrPort(client)
		serve()
		require.Equal(t, 200, x.Response.Status)
		allocs := testing.AllocsPerRun(200, serve)
		if !raceEnabled { // the race detector makes sync.Pool forget at random
			require.Zero(t, allocs, client)
		}
	}
}
