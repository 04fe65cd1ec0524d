package host_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// policy is one policy in flow style.
func policy(plugin, config string) string { return "{plugin: " + plugin + ", config: " + config + "}" }

// policies is the policies of an operation, path or document.
func policies(list ...string) string {
	return "x-wasmgate-policies: [" + strings.Join(list, ", ") + "]"
}

// at is a path with one GET operation.
func at(path string, parts ...string) string {
	return path + ": {get: {" + strings.Join(parts, ", ") + "}}"
}

func TestAPIKeys(t *testing.T) {
	const alice, bob, gone, everywhere = "alice-0123456789-0123456789", "bob-0123456789-0123456789", "gone-0123456789-0123456789", "ops-0123456789-0123456789"
	u := serve(t, nil)
	tell := policy("transform", `{request: {headers: {set: {x-key: "${api_key_id}", x-plan: "${usage_plan_id}"}}}}`)
	g := start(t, files{
		"apis/_gateway.yaml": "x-wasmgate-keys: [{id: ops, value: " + everywhere + "}]",
		"apis/a.yaml": document(`x-wasmgate-api: {id: api}
x-wasmgate-keys:
  - {id: alice, value: `+alice+`, usage_plan: gold}
  - {id: bob, sha256: "`+fmt.Sprintf("%x", sha256.Sum256([]byte(bob)))+`"}
  - {id: gone, value: `+gone+`, disabled: true}
components: {securitySchemes: {key: {type: apiKey, name: x-api-key, in: header}}}`,
			at("/header", "security: [{key: []}]", policies(tell), proxy(u.URL)),
			at("/query", policies(policy("api-key", "{in: query, name: key}"), tell), proxy(u.URL))),
		"apis/b.yaml": document(`x-wasmgate-api: {id: other, protocol: http}`, at("/x", policies(policy("api-key", "{}")), proxy(u.URL))),
	})
	const other = "https://other.execute-api.localhost/x"
	g.each(t, func(t *testing.T, c *http.Client) {
		require.Equal(t, 200, get(t, c, site+"/header", "X-Api-Key: "+alice).StatusCode)
		assert.Equal(t, "alice gold", u.last(t).header.Get("X-Key")+" "+u.last(t).header.Get("X-Plan"))
		require.Equal(t, 200, get(t, c, site+"/header", "X-Api-Key: "+bob).StatusCode)
		assert.Equal(t, "bob ", u.last(t).header.Get("X-Key")+" "+u.last(t).header.Get("X-Plan"))
		require.Equal(t, 200, get(t, c, site+"/query?key="+alice).StatusCode)
		assert.Equal(t, "alice", u.last(t).header.Get("X-Key"))
		require.Equal(t, 200, get(t, c, site+"/header", "X-Api-Key: "+everywhere).StatusCode)
		assert.Equal(t, "ops", u.last(t).header.Get("X-Key"))
		assert.Equal(t, 200, get(t, c, other, "X-Api-Key: "+everywhere).StatusCode)
		before := u.count()
		for _, fields := range [][]string{nil, {"X-Api-Key: "}, {"X-Api-Key: nobody-0123456789-0123456789"}, {"X-Api-Key: " + gone}, {"X-Api-Key: " + alice + "x"},
			{"X-Api-Key: " + alice, "X-Api-Key: " + everywhere}, {"X-Api-Key: " + strings.ToUpper(alice)}} {
			isError(t, get(t, c, site+"/header", fields...), 403, "ForbiddenException", "Forbidden")
		}
		for _, query := range []string{"", "?key=", "?key=nobody", "?Key=" + alice, "?key=" + alice + "&key=" + everywhere} {
			isError(t, get(t, c, site+"/query"+query, "X-Api-Key: "+alice), 403, "ForbiddenException", "Forbidden")
		}
		isError(t, get(t, c, other, "X-Api-Key: "+alice), 403, "ForbiddenException", "Forbidden")
		assert.Equal(t, before, u.count(), "requests that reached the upstream")
	})
	for _, secret := range []string{alice, everywhere, gone} {
		assert.NotContains(t, g.log.String()+g.access.String()+g.adminGet("/admin/v1/status"), secret)
	}
}

func TestIPRules(t *testing.T) {
	u := serve(t, nil)
	rules := func(path, config string) string { return at(path, policies(policy("ip-rules", config)), proxy(u.URL)) }
	g := start(t, files{"apis/a.yaml": document(`x-wasmgate-api: {id: api}
components: {securitySchemes: {key: {type: apiKey, name: x-api-key, in: header}}}`,
		rules("/in", `{allow: [127.0.0.1, "2001:db8::/32"]}`), rules("/mapped", `{allow: ["::ffff:127.0.0.0/104"]}`),
		rules("/out", `{deny: [127.0.0.0/8]}`), rules("/others", `{allow: [10.0.0.0/8]}`), rules("/both", `{allow: [127.0.0.0/8], deny: [127.0.0.1]}`),
		at("/key", "security: [{key: []}]", policies(policy("ip-rules", "{deny: [127.0.0.1]}")), proxy(u.URL)))})
	g.each(t, func(t *testing.T, c *http.Client) {
		for path, status := range map[string]int{"/in": 200, "/mapped": 200, "/out": 403, "/others": 403, "/both": 403, "/key": 403} {
			a := get(t, c, site+path, "X-Forwarded-For: 10.0.0.1", "X-Real-Ip: 10.0.0.1", "Forwarded: for=10.0.0.1")
			if assert.Equal(t, status, a.StatusCode, path); status == 403 {
				isError(t, a, 403, "ForbiddenException", "Forbidden")
			}
		}
	})
}

// flood sends n requests of each of the given kinds at once, half of them with HTTP/2, and
// counts those that were let through.
func (g *gateway) flood(t *testing.T, n int, url string, fields ...string) int {
	t.Helper()
	var passed atomic.Int64
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			c := g.h1
			if i%2 == 0 {
				c = g.h2
			}
			a := get(t, c, url, fields...)
			if a.StatusCode == 200 {
				passed.Add(1)
				return
			}
			isError(t, a, 429, "TooManyRequestsException", "Too Many Requests")
			after, err := strconv.Atoi(a.Header.Get("Retry-After"))
			assert.NoError(t, err)
			assert.Greater(t, after, 0)
		})
	}
	clients.Wait()
	return int(passed.Load())
}

func TestRateLimits(t *testing.T) {
	const anna, bert = "anna-0123456789-0123456789", "bert-0123456789-0123456789"
	u := serve(t, nil)
	limit := func(by string) string {
		return policies(policy("rate-limit", "{rate: 1, per: hour, burst: 7, by: "+by+"}"))
	}
	api := func(id, root string, paths ...string) string {
		return document("x-wasmgate-api: {id: "+id+"}\nx-wasmgate-keys: [{id: anna, value: "+anna+"}, {id: bert, value: "+bert+"}]\n"+
			"components: {securitySchemes: {key: {type: apiKey, name: x-api-key, in: header}}}\n"+root, paths...)
	}
	g := start(t, files{
		"apis/api.yaml": api("api", "", at("/address", limit("address"), proxy(u.URL)),
			at("/identity", "security: [{key: []}]", limit("identity"), proxy(u.URL)), at("/tenant", limit("header.x-tenant"), proxy(u.URL)),
			at("/both", limit("[header.x-tenant, param.p]"), proxy(u.URL)),
			at("/several", policies(policy("rate-limit", `{limits: [{name: one, rate: 1, per: hour, burst: 3, by: header.x-tenant}, {name: all, rate: 1, per: hour, burst: 5, by: api}]}`)), proxy(u.URL))),
		"apis/byroute.yaml": api("byroute", limit("route"), at("/a", proxy(u.URL)), at("/b", proxy(u.URL))),
		"apis/byapi.yaml":   api("byapi", limit("api"), at("/a", proxy(u.URL)), at("/b", proxy(u.URL))),
	})
	const route, whole = "https://byroute.execute-api.localhost", "https://byapi.execute-api.localhost"
	sent, passed := 0, 0
	for _, tt := range []struct {
		name, url, field string
		n, want          int
	}{
		{"address", site + "/address", "", 40, 7},
		{"the same address", site + "/address", "X-Forwarded-For: 1.2.3.4", 5, 0},
		{"identity", site + "/identity", "X-Api-Key: " + anna, 40, 7},
		{"another identity", site + "/identity", "X-Api-Key: " + bert, 40, 7},
		{"header", site + "/tenant", "X-Tenant: a", 40, 7},
		{"another header", site + "/tenant", "X-Tenant: b", 40, 7},
		{"no header", site + "/tenant", "", 40, 7},
		{"two selectors", site + "/both?p=1", "X-Tenant: a", 40, 7},
		{"their neighbour", site + "/both?p=2", "X-Tenant: a", 40, 7},
		{"the first of two limits", site + "/several", "X-Tenant: a", 20, 3},
		{"what the other leaves", site + "/several", "X-Tenant: b", 20, 2},
		{"route", route + "/a", "", 40, 7},
		{"another route", route + "/b", "", 40, 7},
		{"API", whole + "/a", "", 40, 7},
		{"the same API", whole + "/b", "", 5, 0},
	} {
		fields := []string{tt.field}
		if tt.field == "" {
			fields = nil
		}
		assert.Equal(t, tt.want, g.flood(t, tt.n, tt.url, fields...), tt.name)
		sent, passed = sent+tt.n, passed+tt.want
	}
	assert.Equal(t, passed, u.count(), "what was refused reached nobody")
	await(t, "every refusal is counted, which it is after its answer", func() bool {
		return g.metric("wasmgate_throttled_total") == float64(sent-passed)
	})
}

func TestGatewayRateLimit(t *testing.T) {
	u := serve(t, nil)
	g := start(t, files{
		"apis/_gateway.yaml": policies(policy("rate-limit", "{rate: 1, per: hour, burst: 9, by: gateway}")),
		"apis/a.yaml":        document("x-wasmgate-api: {id: a}", at("/x", proxy(u.URL))),
		"apis/b.yaml":        document("x-wasmgate-api: {id: b, protocol: http}", at("/x", proxy(u.URL))),
	})
	var clients sync.WaitGroup
	var passed [2]int
	for i, id := range []string{"a", "b"} {
		clients.Go(func() { passed[i] = g.flood(t, 20, "https://"+id+".execute-api.localhost/x") })
	}
	clients.Wait()
	assert.Equal(t, 9, passed[0]+passed[1])
	assert.Equal(t, 9, u.count())
}

func TestRateLimitRefills(t *testing.T) {
	g := start(t, files{"apis/a.yaml": document("x-wasmgate-api: {id: api}",
		at("/x", policies(policy("rate-limit", "{rate: 5, burst: 1, by: route}")), proxy(serve(t, nil).URL)))})
	require.Equal(t, 1, g.flood(t, 3, site+"/x"))
	await(t, "the bucket to fill", func() bool { return get(t, g.h1, site+"/x").StatusCode == 200 })
	// Steady state: the host keeps the buckets and asks nobody. The first three requests came
	// together, and each may have asked.
	asked := g.metric("wasmgate_plugin_calls_total", `plugin="rate-limit"`)
	assert.LessOrEqual(t, asked, 3.0)
	g.flood(t, 10, site+"/x")
	assert.Equal(t, asked, g.metric("wasmgate_plugin_calls_total", `plugin="rate-limit"`))
}

func TestTransform(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("X-Answer-As"))
		w.Header().Set("Server", "up/1")
		w.Header().Set("Etag", `"1"`)
		if r.URL.Path == "/bad" {
			w.WriteHeader(500)
		}
		io.Copy(w, r.Body)
	})
	g := start(t, files{"apis/a.yaml": document(`x-wasmgate-api: {id: api, stage_variables: {color: blue}}`,
		`/in/{id}: {post: {`+policies(policy("transform", `{request: {method: PUT, path: "/v2/${path_param.id}/x", query: {remove: [old], set: {v: "2"}, add: {who: "${header.x-name}"}},
      headers: {remove: [x-drop], set: {x-color: "${stage_variable.color}", x-ip: "from ${source_ip}", x-none: "${header.x-absent}"}, add: {x-many: more}}}}`))+`, `+proxy(u.URL+"/{id}")+`}}`,
		`/body: {post: {`+policies(policy("transform", `{request: {body: {remove: [secret, deep.a], rename: {name: user.name}, set: {tag: "${header.x-tag}", n: [1, {x: null}]}}},
      response: {body: {remove: [internal], set: {seen: true}}, status: 201, headers: {remove: [server], set: {x-status: "${status}"}}}}`))+`, `+proxy(u.URL+"/body")+`}}`,
		`/bad: {post: {`+policies(policy("transform", `{response: {headers: {set: {x-seen: "yes"}}}}`))+`, `+proxy(u.URL+"/bad")+`}}`,
		`/down: {post: {`+policies(policy("transform", `{response: {status: 200, headers: {set: {x-seen: "yes"}}}}`))+`, `+proxy("http://"+closedAddress(t))+`}}`)})
	g.each(t, func(t *testing.T, c *http.Client) {
		require.Equal(t, 200, send(t, c, "POST", site+"/in/a%20b?old=1&keep=%2F&old=2", "", "X-Name: J&J", "X-Drop: 1", "X-Many: one", "X-None: forged").StatusCode)
		s := u.last(t)
		assert.Equal(t, "PUT /v2/a%20b/x?keep=%2F&v=2&who=J%26J", s.method+" "+s.target)
		assert.Equal(t, "blue, from 127.0.0.1", s.header.Get("X-Color")+", "+s.header.Get("X-Ip"))
		assert.Equal(t, []string{"one", "more"}, s.header["X-Many"])
		assert.Empty(t, s.header.Get("X-Drop")+s.header.Get("X-None"))

		fields := []string{"Content-Type: application/json", "X-Answer-As: application/json", `X-Tag: "}, "admin": {`}
		a := send(t, c, "POST", site+"/body", `{"secret": 1, "deep": {"a": 1, "b": 1e400}, "name": "Ann", "internal": 2}`, fields...)
		assert.Equal(t, 201, a.StatusCode, a.body)
		assert.JSONEq(t, `{"deep": {"b": "1e400"}, "user": {"name": "Ann"}, "tag": "\"}, \"admin\": {", "n": [1, {"x": null}], "internal": 2}`, quoted(u.last(t).body))
		assert.JSONEq(t, `{"deep": {"b": "1e400"}, "user": {"name": "Ann"}, "tag": "\"}, \"admin\": {", "n": [1, {"x": null}], "seen": true}`, quoted(a.body))
		assert.Equal(t, "||200", a.Header.Get("Server")+"|"+a.Header.Get("Etag")+"|"+a.Header.Get("X-Status"))

		before := u.count()
		isError(t, send(t, c, "POST", site+"/body", `{"a":`, fields...), 400, "BadRequestException", "Bad Request")
		isError(t, send(t, c, "POST", site+"/body", `x`, "Content-Type: text/plain"), 415, "BadRequestException", "Unsupported Media Type")
		assert.Equal(t, before, u.count())
		a = send(t, c, "POST", site+"/bad", "its words")
		assert.Equal(t, "500 its words yes", fmt.Sprint(a.StatusCode, " ", a.body, " ", a.Header.Get("X-Seen")))
		a = send(t, c, "POST", site+"/down", "")
		isError(t, a, 504, "InternalServerErrorException", "Network error communicating with endpoint")
		assert.Equal(t, "yes", a.Header.Get("X-Seen"))
	})
}

// quoted is a JSON text with the one number that Go cannot hold as a text.
func quoted(s string) string { return strings.ReplaceAll(s, "1e400", `"1e400"`) }

func TestCORS(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Access-Control-Allow-Origin", "*") })
	cors := policies(policy("cors", `{allow_origins: ["https://app.example", "https://*.dev.example"], allow_methods: [GET, PUT],
      allow_headers: [authorization], expose_headers: [x-total], allow_credentials: true, max_age_s: 60}`))
	g := start(t, files{"apis/a.yaml": document("x-wasmgate-api: {id: api}\n"+cors,
		`/x: {x-amazon-apigateway-any-method: {`+proxy(u.URL)+`}}`,
		`/shut: {get: {`+policies(policy("api-key", "{}"))+`, `+proxy(u.URL)+`}, options: {`+proxy(u.URL)+`}}`)})
	g.each(t, func(t *testing.T, c *http.Client) {
		before := u.count()
		for _, path := range []string{"/x", "/shut"} {
			a := send(t, c, "OPTIONS", site+path, "", "Origin: https://app.example", "Access-Control-Request-Method: PUT")
			assert.Equal(t, 204, a.StatusCode)
			assert.Equal(t, "https://app.example|true|GET,PUT|authorization|60", headers(a, "Allow-Origin", "Allow-Credentials", "Allow-Methods", "Allow-Headers", "Max-Age"))
			assert.Contains(t, a.Header.Get("Vary"), "Origin")
			a = send(t, c, "OPTIONS", site+path, "", "Origin: https://evil.example", "Access-Control-Request-Method: PUT")
			assert.Empty(t, a.Header.Get("Access-Control-Allow-Origin"))
		}
		assert.Equal(t, before, u.count(), "preflights end at the gateway")
		a := get(t, c, site+"/x", "Origin: https://a.b.dev.example")
		assert.Equal(t, "https://a.b.dev.example|true|x-total", headers(a, "Allow-Origin", "Allow-Credentials", "Expose-Headers"))
		for _, origin := range []string{"https://dev.example", "https://app.example.evil.example", "http://app.example", "https://app.example:8443", "null"} {
			assert.Empty(t, get(t, c, site+"/x", "Origin: "+origin).Header.Get("Access-Control-Allow-Origin"), origin)
		}
		a = get(t, c, site+"/shut", "Origin: https://app.example")
		isError(t, a, 403, "ForbiddenException", "Forbidden")
		assert.Equal(t, "https://app.example|true", headers(a, "Allow-Origin", "Allow-Credentials"), "a page reads the gateway's errors too")
	})
}

// headers is the values of CORS headers.
func headers(a answer, names ...string) string {
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = a.Header.Get("Access-Control-" + name)
	}
	return strings.Join(values, "|")
}
