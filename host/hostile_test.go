package host_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

const hostileLimits = "memory: 4MiB, fuel: 5000000, grants: {kv: [user/], http: [api.example], secrets: [], jwks: ['https://i.example']}"

// hostileCases are the hand-written modules with which package guest is tried.
func hostileCases(t *testing.T, archive string) []wasmtest.Case {
	t.Helper()
	cases, err := wasmtest.Cases("internal/guest/testdata/hostile/" + archive + ".txtar")
	require.NoError(t, err)
	return cases
}

// keepAsking asks a running gateway until its test ends, and wants every answer.
func keepAsking(t *testing.T, g *gateway) {
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for _, c := range []*http.Client{g.h1, g.h2} {
		asking.Go(func() { // ends with stop; waited for below
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := c.Get(site + "/canary")
				if !assert.NoError(t, err) {
					return
				}
				resp.Body.Close()
				if !assert.Equal(t, 200, resp.StatusCode) {
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		close(stop)
		asking.Wait()
	})
}

// Each module that cannot be loaded is dropped into the plugins of a gateway at work: it is
// refused with the reason, which the status tells, and what served serves on.
func TestHostileModulesAreRefused(t *testing.T) {
	u := serve(t, nil)
	g := start(t, files{"apis/a.yaml": passing(u.URL)})
	snapshot := g.status().Snapshot.Digest
	keepAsking(t, g)
	for _, c := range hostileCases(t, "load") {
		if c.Outcome == "served" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			reason := g.refused(files{"plugins/evil.wasm": string(c.Wasm),
				"apis/evil.yaml": document("x-wasmgate-api: {id: evil}", at("/", "x-wasmgate-policies: [{plugin: evil, "+hostileLimits+"}]", proxy(u.URL)))})
			_, want, _ := strings.Cut(c.Outcome, `plugin "evil": `)
			_, want, _ = strings.Cut(want, ": ") // the kind of failure is for machines
			assert.Contains(t, reason, want)
			now := g.status()
			assert.Equal(t, reason, now.LastReload.Error)
			assert.Equal(t, snapshot, now.Snapshot.Digest)
			assert.Equal(t, 200, get(t, g.h1, site+"/a").StatusCode)
		})
	}
	g.update(files{"plugins/evil.wasm": "", "apis/evil.yaml": ""})
	assert.Empty(t, g.status().LastReload.Error)
}

// Each module that loads and then misbehaves costs the requests that meet it, and no other.
func TestHostileModulesCostTheirOwnRequests(t *testing.T) {
	u := serve(t, nil)
	cases := hostileCases(t, "call")
	for _, c := range hostileCases(t, "powers") {
		if strings.Contains(c.Name, "flood") && !strings.HasPrefix(c.Name, "http") || strings.HasPrefix(c.Name, "kv-") || strings.HasPrefix(c.Name, "log-") {
			cases = append(cases, c)
		}
	}
	content := files{"apis/a.yaml": passing(u.URL)}
	var paths []string
	for _, c := range cases {
		content["plugins/"+strings.ToLower(c.Name)+".wasm"] = string(c.Wasm)
		paths = append(paths, at("/"+c.Name, fmt.Sprintf("x-wasmgate-policies: [{plugin: %s, %s}]", strings.ToLower(c.Name), hostileLimits), proxy(u.URL)))
	}
	content["apis/evil.yaml"] = document("x-wasmgate-api: {id: evil}", paths...)
	g := start(t, content)
	keepAsking(t, g)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			g.each(t, func(t *testing.T, client *http.Client) {
				for range 2 { // the second is met by another instance
					a := get(t, client, "https://evil.execute-api.localhost/"+c.Name)
					if c.Outcome == "served" {
						require.Equal(t, 200, a.StatusCode, a.body)
						continue
					}
					isError(t, a, 500, "AuthorizerConfigurationException", "Internal server error")
				}
			})
		})
	}
}
