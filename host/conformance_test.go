package host_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/abi/conformance"
)

var conformanceRun = flag.String("conformance.run", "", "a part of the ids of the cases to run")

// conformant makes the gateway one that the conformance suite can bind.
type conformant struct {
	g       *gateway
	plugins map[string]bool
}

// Bind writes the binding as a document, with one path a route, and the modules beside it.
func (h *conformant) Bind(ctx context.Context, b *conformance.Binding) error {
	paths := map[string]any{}
	for _, r := range b.Routes {
		paths["/"+r.ID+"/{rest+}"] = map[string]any{"x-amazon-apigateway-any-method": map[string]any{
			"x-wasmgate-policies": r.Policies,
			"x-amazon-apigateway-integration": map[string]any{"type": "http_proxy", "httpMethod": "ANY",
				"uri": b.Upstream + "/" + r.ID + "/{rest}", "requestParameters": map[string]string{"integration.request.path.rest": "method.request.path.rest"}},
		}}
	}
	document, err := json.Marshal(map[string]any{
		"openapi": "3.0.3", "info": map[string]any{"title": "Conformance", "version": "1"},
		"x-wasmgate-api":  map[string]any{"id": "api", "stage_variables": b.StageVariables},
		"x-wasmgate-keys": b.Keys, "paths": paths,
	})
	if err != nil {
		return err
	}
	secrets, err := json.Marshal(b.Secrets)
	if err != nil {
		return err
	}
	content := files{"apis/a.json": string(document),
		"wasmgate.yaml": process(fmt.Sprintf("upstreams: {allow: [127.0.0.1]}\nsecrets: %s", secrets))}
	for id := range h.plugins {
		content["plugins/"+id+".wasm"] = "" // removed
	}
	h.plugins = map[string]bool{}
	for id, wasm := range b.Modules {
		content["plugins/"+id+".wasm"] = string(wasm)
		h.plugins[id] = true
	}
	h.g.put(content)
	if err := h.g.Reload(ctx); err != nil {
		return &conformance.RefusedError{Reason: err.Error()}
	}
	return nil
}

// TestConformance runs the suite of the ABI against a running gateway, over both protocols;
// -v prints the scores.
func TestConformance(t *testing.T) {
	for name, client := range map[string]func(*gateway) *http.Client{
		"http1": func(g *gateway) *http.Client { return g.h1 },
		"http2": func(g *gateway) *http.Client { return g.h2 },
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, files{})
			r := &conformance.Runner{Host: &conformant{g: g}, Base: site, Client: client(g),
				Only: func(id string) bool { return strings.Contains(id, *conformanceRun) }}
			outcomes, err := r.Run(t.Context())
			require.NoError(t, err)
			for _, o := range outcomes {
				assert.NoError(t, o.Err, o.ID)
			}
			table, _ := conformance.Table(outcomes)
			t.Log("\n" + table)
		})
	}
}
