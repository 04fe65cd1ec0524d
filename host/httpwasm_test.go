package host_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/http-wasm/http-wasm-host-go/tck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// through is a document whose every path goes to an upstream through policies.
func through(upstream, policies string) files {
	return files{"apis/a.yaml": document("x-wasmgate-api: {id: api}\nx-wasmgate-policies: "+policies,
		`/: {x-amazon-apigateway-any-method: {`+proxy(upstream+"/")+`}, trace: {`+proxy(upstream+"/")+`}}`,
		`"/{proxy+}": {x-amazon-apigateway-any-method: {`+proxy(upstream+"/{proxy}")+`}}`)}
}

// kitCases counts the cases that a client sends, by their ids.
type kitCases struct {
	http.RoundTripper
	mu  sync.Mutex
	ids map[string]bool
}

func (a *kitCases) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.ids[r.Header.Get("x-httpwasm-tck-testid")] = true
	a.mu.Unlock()
	return a.RoundTripper.RoundTrip(r)
}

// The kit's guest and its cases, with the gateway and a network between the guest and the
// kit's backend.
func TestHTTPWasmConformance(t *testing.T) {
	u := serve(t, tck.BackendHandler().ServeHTTP)
	content := through(u.URL, "[{plugin: tck}]")
	content["plugins/tck.wasm"] = string(tck.GuestWASM)
	g := start(t, content)
	g.each(t, func(t *testing.T, c *http.Client) {
		a := &kitCases{RoundTripper: c.Transport, ids: map[string]bool{}}
		client := *c
		client.Transport, client.Timeout = a, 0 // the kit closes no body, which a timer waits for
		passed := t.Run("tck", func(t *testing.T) { // waits for what is parallel in it
			t.Run("cases", func(t *testing.T) { tck.Run(t, &client, site) })
		})
		require.Len(t, a.ids, 35)
		if assert.True(t, passed) {
			t.Logf("http-wasm TCK over %s: 35 of 35", t.Name())
		}
	})
}
