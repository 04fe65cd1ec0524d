package host_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lines is the access log so far, by request id, with the members of objects as error.reason.
func (g *gateway) lines(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := make(map[string]map[string]any)
	for line := range strings.Lines(g.access.String()) {
		var one map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &one), line)
		for name, value := range one {
			members, _ := value.(map[string]any)
			for member, value := range members {
				one[name+"."+member] = value
			}
		}
		id, _ := one["requestId"].(string)
		all[id] = one
	}
	return all
}

// Every answer has its line in the access log and its place in the metrics, under the
// route's template, and neither tells a secret.
func TestObserved(t *testing.T) {
	const secret = "anna-0123456789-0123456789"
	u := serve(t, nil)
	g := start(t, files{"apis/a.yaml": document("x-wasmgate-api: {id: api, stage: live}\nx-wasmgate-keys: [{id: anna, value: "+secret+"}]",
		at("/pets/{id}", policies(policy("api-key", "{}"), policy("cache", "{}")), proxy(u.URL)),
		at("/down", proxy("http://"+closedAddress(t))))})
	g.each(t, func(t *testing.T, c *http.Client) {
		protocol := map[string]string{"http1": "HTTP/1.1", "http2": "HTTP/2.0"}[t.Name()[strings.LastIndex(t.Name(), "/")+1:]]
		ok := get(t, c, site+"/live/pets/7?token=hidden&x=1", "X-Api-Key: "+secret, "Cookie: s=hidden", "User-Agent: me")
		refused := get(t, c, site+"/live/pets/7", "X-Api-Key: wrong-hidden")
		down := get(t, c, site+"/live/down")
		lost := get(t, c, site+"/live/nope")
		require.Equal(t, []int{200, 403, 504, 403}, []int{ok.StatusCode, refused.StatusCode, down.StatusCode, lost.StatusCode})
		id := func(a answer) string { return a.Header.Get("X-Amzn-Requestid") }
		await(t, "four lines", func() bool {
			all := g.lines(t)
			return all[id(ok)] != nil && all[id(refused)] != nil && all[id(down)] != nil && all[id(lost)] != nil
		})
		all := g.lines(t)
		line := all[id(ok)]
		for name, want := range map[string]any{"apiId": "api", "stage": "live", "routeKey": "GET /pets/{id}", "httpMethod": "GET", "path": "/live/pets/7",
			"protocol": protocol, "status": 200.0, "identity.sourceIp": "127.0.0.1", "identity.userAgent": "me", "identity.apiKeyId": "anna", "integrationStatus": 200.0,
			"domainName": "api.execute-api.localhost"} {
			assert.Equal(t, want, line[name], name)
		}
		assert.Equal(t, "unknown API key", all[id(refused)]["error.reason"])
		assert.Contains(t, all[id(down)]["error.reason"], "connection refused")
		assert.Equal(t, "no route", all[id(lost)]["error.reason"])
	})
	for _, hidden := range []string{secret, "hidden"} {
		assert.NotContains(t, g.access.String()+g.log.String(), hidden)
	}
	route := func(name string, labels ...string) float64 {
		return g.metric(name, append([]string{`api="api"`, `stage="live"`, `route="/pets/{id}"`, `method="GET"`}, labels...)...)
	}
	await(t, "every request is counted, which it is after its answer", func() bool { return g.metric("wasmgate_requests_total") >= 8 })
	assert.Equal(t, 2.0, route("wasmgate_requests_total", `code_class="2xx"`))
	assert.Equal(t, 2.0, route("wasmgate_requests_total", `code_class="4xx"`))
	assert.Equal(t, 4.0, route("wasmgate_request_duration_seconds_count"))
	assert.Equal(t, 2.0, route("wasmgate_integration_duration_seconds_count"))
	assert.Equal(t, 2.0, g.metric("wasmgate_requests_total", `code_class="5xx"`))
	assert.Equal(t, 8.0, g.metric("wasmgate_requests_total"))
	assert.Equal(t, 1.0, g.metric("wasmgate_config_last_reload_success"))
	assert.Greater(t, g.metric("wasmgate_plugin_fuel_total", `plugin="api-key"`), 0.0)
	assert.Greater(t, g.metric("wasmgate_tls_cert_not_after_seconds", `name="localhost"`), 0.0)
}
