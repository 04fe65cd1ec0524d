package host_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host"
)

// TestAllProblemsTogether wants one run to tell what is wrong at every level, each once, by
// file and line, and nothing that only follows from something else.
func TestAllProblemsTogether(t *testing.T) {
	dir := t.TempDir()
	options := prepare(t, dir, files{
		"apis/a.yaml": document("x-wasmgate-api: {id: a, stag: prod}\n"+policies(`{plugin: cors, grants: {htp: [x]}, config: {allow_origins: ["https://a.example"], max_agee: 1}}`),
			at("/zz", proxy("http://a.example/{zz}")),
			at("/parameters", proxy("http://a.example", `requestParameters: {integration.request.header.X: body}`)),
			at("/none", "summary: nothing answers")),
		"apis/b.yaml": document("x-wasmgate-api: {id: b}\n"+policies("{plugin: nobody}"),
			at("/both", policies("{plugin: rate-limit, config: {rate: fast}}")+", "+proxy("http://169.254.169.254/")),
			at("/follows", "summary: nobody may have integrated")),
		"apis/c.yaml": document("x-wasmgate-api: {id: c}\n"+policies("{plugin: ip-rules, config: {deny: [300.1.1.1]}, on_error: ignore}"),
			at("/none", "summary: rules never answer"),
			at("/lost", "x-wasmgate-policies: nothing"),
			at("/first", proxy("http://a.example")),
			at("/{template}", `x-amazon-apigateway-integration: {type: mock, requestTemplates: {application/json: "$x"}}`)),
		"plugins/broken.wasm": "no Wasm",
	})
	_, err := host.Validate(t.Context(), options)
	problems, ok := err.(*host.ConfigErrors)
	require.True(t, ok, "%v", err)
	got := strings.Split(strings.ReplaceAll(problems.Error(), dir+"/", ""), "\n")
	want := []string{
		`apis/a.yaml:3:25: x-wasmgate-api.stag: got an unknown key`,
		`apis/a.yaml:4:23: policy cors: config: additional properties 'max_agee' not allowed`,
		`apis/a.yaml:4:47: x-wasmgate-policies[0].grants.htp: got an unknown key`,
		`apis/a.yaml:6:89: paths["/zz"].get.x-amazon-apigateway-integration.uri: got the variable {zz}`,
		`apis/a.yaml:7:167: paths["/parameters"].get.x-amazon-apigateway-integration.requestParameters`,
		`apis/a.yaml:8:11: GET /none: got no integration`,
		`apis/b.yaml:4:23: plugin: got "nobody"`,
		`apis/b.yaml:6:39: policy rate-limit: config /rate: got string, want number`,
		`apis/b.yaml:6:158: paths["/both"].get.x-amazon-apigateway-integration.uri: got "http://169.254.169.254/"`,
		`apis/c.yaml:4:23: policy ip-rules: `,
		`apis/c.yaml:4:81: x-wasmgate-policies[0].on_error: got "ignore"`,
		`apis/c.yaml:6:11: GET /none: got no integration`,
		`apis/c.yaml:7:38: paths["/lost"].get.x-wasmgate-policies: got "nothing"`,
		`apis/c.yaml:9:106: paths["/{template}"].get.x-amazon-apigateway-integration.requestTemplates`,
		`plugins/broken.wasm: `,
	}
	require.Len(t, got, len(want), "%s", strings.Join(got, "\n"))
	for i, beginning := range want {
		assert.True(t, strings.HasPrefix(got[i], beginning), "got %q, want %q", got[i], beginning)
	}
}
