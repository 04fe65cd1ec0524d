package host_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/abi/conformance"
)

// TestConformance runs the conformance suite of the plugin ABI over HTTP/1.1 and HTTP/2.
func TestConformance(t *testing.T) {
	t.Parallel() // it waits for programs and compilers more than it works
	suite, err := conformance.Load()
	require.NoError(t, err)
	up, err := conformance.ListenUpstream("127.0.0.1:0")
	require.NoError(t, err)
	defer up.Close()
	content := files{"wasmgate.yaml": "secrets: {conformance: secret}\nlog: {level: error, access: {enabled: false}}\n"}
	for name, wasm := range suite.Modules {
		content["plugins/"+name+".wasm"] = string(wasm)
	}
	var served, refused []conformance.Binding
	for _, b := range suite.Bindings(up.URL) {
		if b.Refused {
			refused = append(refused, b)
			delete(content, "plugins/"+b.Module+".wasm")
		} else {
			served = append(served, b)
		}
	}
	for _, b := range served { // a module may be good with one config and bad with another
		content["plugins/"+b.Module+".wasm"] = string(suite.Modules[b.Module])
	}
	content["apis/conf.yaml"] = bindings(t, "conf", served)
	for _, version := range []string{"HTTP/1.1", "HTTP/2"} { // a gateway each: what cases left behind would be there for the second
		g := start(t, content)
		client := map[string]*http.Client{"HTTP/1.1": g.h1, "HTTP/2": g.h2}[version]
		results := conformance.Run(context.Background(), suite, conformance.Target{URL: site, Client: client, Upstream: up})
		table, passed := conformance.Table(results)
		t.Logf("over %s:\n%s", version, table)
		assert.True(t, passed)
	}
	// A refusal is tried beside one good policy, so that the refused one alone can be to blame.
	small := files{"wasmgate.yaml": content["wasmgate.yaml"], "apis/conf.yaml": bindings(t, "conf", served[:1]),
		"plugins/" + served[0].Module + ".wasm": string(suite.Modules[served[0].Module])}
	g := start(t, small)
	for _, b := range refused {
		g.put(files{"plugins/" + b.Module + ".wasm": string(suite.Modules[b.Module]), "apis/refused.yaml": bindings(t, "refused", []conformance.Binding{b})})
		assert.Error(t, g.Reload(t.Context()), "%s: %s", b.Route, b.Module)
		back := files{"apis/refused.yaml": ""}
		if b.Module != served[0].Module {
			back["plugins/"+b.Module+".wasm"] = ""
		}
		g.update(back)
	}
}

// bindings is a document that binds policies as the suite says.
func bindings(t *testing.T, id string, list []conformance.Binding) string {
	paths := map[string]any{}
	for _, b := range list {
		policies := []any{boundPolicy(b)}
		for _, then := range b.Then {
			policies = append(policies, boundPolicy(then))
		}
		upstream := func(uri string) map[string]any {
			return map[string]any{"x-wasmgate-policies": policies,
				"x-amazon-apigateway-any-method": map[string]any{"responses": map[string]any{"200": map[string]any{"description": "any"}},
					"x-amazon-apigateway-integration": map[string]any{"type": "http_proxy", "httpMethod": "ANY", "uri": uri}}}
		}
		paths[b.Route] = upstream(b.Upstream)
		paths[b.Route+"/{below+}"] = upstream(b.Upstream + "/{below}")
	}
	text, err := json.Marshal(map[string]any{"openapi": "3.0.3", "info": map[string]any{"title": id, "version": "1"},
		"x-wasmgate-api": map[string]any{"id": map[string]string{"conf": "api"}[id] + strings.TrimPrefix(id, "conf")}, "paths": paths})
	require.NoError(t, err)
	return string(text)
}

// boundPolicy is one policy of a document.
func boundPolicy(b conformance.Binding) map[string]any {
	policy := map[string]any{"plugin": b.Module}
	for key, value := range map[string]string{"on_error": b.OnError, "isolation": b.Isolation} {
		if value != "" {
			policy[key] = value
		}
	}
	if b.Config != nil {
		policy["config"] = b.Config
	}
	if b.Grants != nil {
		policy["grants"] = b.Grants
	}
	return policy
}
