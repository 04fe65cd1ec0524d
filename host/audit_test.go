package host_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host"
	"github.com/wasmgate/wasmgate/host/internal/control"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
	"github.com/wasmgate/wasmgate/host/internal/rollout"
)

// recorded is one line of an audit log.
type recorded struct {
	Seq    uint64
	Kind   string
	Fields map[string]any
}

// audit is the lines of the audit log that came after the first n.
func (g *gateway) audit(n int) (list []recorded) {
	g.t.Helper()
	f, err := os.Open(filepath.Join(g.dir, "data", "audit.log"))
	require.NoError(g.t, err)
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		var r recorded
		require.NoError(g.t, json.Unmarshal(in.Bytes(), &r))
		list = append(list, r)
	}
	return list[n:]
}

func kinds(list []recorded) (kinds []string) {
	for _, r := range list {
		kinds = append(kinds, r.Kind)
	}
	return kinds
}

func (g *gateway) review() (r control.Review) {
	g.t.Helper()
	require.NoError(g.t, json.Unmarshal([]byte(g.adminGet("/admin/v1/audit")), &r))
	return r
}

// audited is a document with a policy of the plugin mine.
func audited(grants string) string {
	return document("x-wasmgate-api: {id: audited, stage: prod}",
		`/a: {get: {x-wasmgate-policies: [{plugin: mine, grants: `+grants+`, isolation: fresh, on_error: deny, fuel: 1000, memory: 2MiB}], `+mock+`}}`,
		`/b: {get: {`+mock+`}}`)
}

const mock = `x-amazon-apigateway-integration: {type: mock, requestTemplates: {application/json: '{"statusCode": 200}'}, responses: {default: {statusCode: "200"}}}, responses: {"200": {description: x}}`

func startAudited(t *testing.T) *gateway {
	mine := plugin(abi.HookGuard, I64Const(0))
	g := start(t, files{"plugins/mine.wasm": string(mine.Bytes()), "apis/audited.yaml": audited("{kv: [a/]}"),
		"secrets/token": "hunter2-hunter2\n", "wasmgate.yaml": "secrets: {db: \"${file:secrets/token}\"}\nthrottle: {buckets: 1000}\n"})
	return g
}

// Everything that changes what the gateway does stands in its audit log, in order.
func TestAuditLog(t *testing.T) {
	g := startAudited(t)
	first := g.audit(0)
	assert.Equal(t, []string{"genesis", "gateway_started", "configuration_loaded", "plugin_loaded", "plugin_loaded", "policy_bound", "policy_bound"}, kinds(first))
	loaded := first[2].Fields
	assert.Equal(t, g.status().Snapshot.Digest, loaded["snapshot"])
	assert.Regexp(t, `^map\[digest:sha256:[0-9a-f]{64} file:.*wasmgate.yaml\]$`, fmt.Sprint(loaded["process_file"]))
	assert.Regexp(t, `^\[map\[digest:sha256:[0-9a-f]{64} file:.*apis/audited.yaml\]\]$`, fmt.Sprint(loaded["changed_documents"]))
	bound := first[5].Fields
	assert.Equal(t, "mine", bound["plugin"])
	assert.Equal(t, []any{"audited GET /a"}, bound["bound"])
	assert.Equal(t, map[string]any{"kv": []any{"a/"}}, bound["grants"])
	assert.Equal(t, "fresh", bound["isolation"])
	assert.Equal(t, "deny", bound["on_error"])
	assert.EqualValues(t, 1000, bound["fuel"])
	n := len(first)

	// Other grants, in a document.
	g.update(files{"apis/audited.yaml": audited("{kv: [b/], secrets: [db]}")})
	assert.Equal(t, []string{"configuration_loaded", "policy_unbound", "policy_bound", "grants_changed"}, kinds(g.audit(n)))
	change := g.audit(n)[3].Fields
	assert.Equal(t, map[string]any{"kv": []any{"a/"}}, change["old"])
	assert.Equal(t, map[string]any{"kv": []any{"b/"}, "secrets": []any{"db"}}, change["new"])
	n += 4

	// Another version of the plugin.
	next := plugin(abi.HookGuard, I64Const(0))
	next.Data(5000, []byte("2"))
	g.update(files{"plugins/mine.wasm": string(next.Bytes())})
	assert.Equal(t, []string{"configuration_loaded", "plugin_swapped", "policy_unbound", "policy_bound"}, kinds(g.audit(n)))
	swap := g.audit(n)[1].Fields
	assert.NotEqual(t, swap["old"].(map[string]any)["digest"], swap["new"].(map[string]any)["digest"])
	assert.Equal(t, bound["digest"], swap["old"].(map[string]any)["digest"])
	n += 4

	// What is refused, with what was read of it.
	g.refused(files{"plugins/bad.wasm": "no Wasm"})
	require.Equal(t, []string{"configuration_refused", "plugin_refused"}, kinds(g.audit(n)))
	refused := g.audit(n)[1].Fields
	assert.Contains(t, refused["source"], "plugins/bad.wasm")
	assert.Contains(t, refused["why"], "not a Wasm module")
	assert.Equal(t, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("no Wasm"))), refused["digest"])
	n += 2
	g.refused(files{"plugins/bad.wasm": "still no Wasm\n", "apis/audited.yaml": "openapi: hunter2-hunter2"})
	n += len(g.audit(n))

	// Who asked the admin plane. Nothing has changed.
	g.update(files{"plugins/bad.wasm": "", "apis/audited.yaml": audited("{kv: [b/]}")})
	n += len(g.audit(n))
	g.adminPost("/admin/v1/reload")
	assert.Equal(t, []string{"admin_call"}, kinds(g.audit(n)))
	assert.Regexp(t, `^127\.0\.0\.1:\d+$`, g.audit(n)[0].Fields["remote"])

	g.verified(t)
}

// verified checks the log itself and everything that tells its head.
func (g *gateway) verified(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, "data", "audit.log"))
	require.NoError(t, err)
	assert.NotContains(t, string(text), "hunter2")
	head := g.status().Audit.Head
	r, err := host.VerifyAudit(filepath.Join(g.dir, "data", "audit.log"), host.AuditOptions{Heads: []string{head}})
	require.NoError(t, err)
	assert.True(t, r.OK, "%v", r.Fault)
	assert.Equal(t, head, r.Head)
	assert.Contains(t, g.log.String(), head, "the operator's log has the head")
	assert.EqualValues(t, r.Lines, g.metric("wasmgate_audit_seq"))
	_, hash, _ := strings.Cut(head, ":")
	assert.Equal(t, hash[:12], fmt.Sprintf("%012x", uint64(g.metric("wasmgate_audit_head"))))
	assert.Zero(t, g.metric("wasmgate_audit_failing"))
}

// adminPost asks for a change and gives the answer's status and body.
func (g *gateway) adminPost(path string) answer {
	g.t.Helper()
	token, err := os.ReadFile(filepath.Join(g.dir, "data", "admin.token"))
	require.NoError(g.t, err)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	return send(g.t, c, http.MethodPost, "http://"+g.admin+path, "", "Authorization: Bearer "+strings.TrimSpace(string(token)))
}

// A gateway that cannot record serves on, and changes nothing.
func TestUnrecordedIsNotDone(t *testing.T) {
	g := startAudited(t)
	const url = "https://audited.execute-api.localhost/prod/b"
	require.Equal(t, 200, get(t, g.h1, url).StatusCode)
	before := g.status()
	log := filepath.Join(g.dir, "data", "audit.log")
	require.NoError(t, os.Rename(log, log+".away"))
	why := g.refused(files{"apis/audited.yaml": audited("{kv: [b/]}")})
	assert.Contains(t, why, "append to audit log")
	assert.Equal(t, 200, get(t, g.h1, url).StatusCode, "it serves on")
	after := g.status()
	assert.True(t, after.Ready)
	assert.Equal(t, before.Snapshot.Digest, after.Snapshot.Digest)
	assert.Contains(t, after.Audit.Error, "no change takes effect: append to audit log")
	assert.True(t, slices.ContainsFunc(after.Parts, func(p control.Part) bool { return p.Name == "audit" && p.Detail != "" }))
	assert.EqualValues(t, 1, g.metric("wasmgate_audit_failing"))
	asked := g.adminPost("/admin/v1/reload")
	assert.Equal(t, 503, asked.StatusCode)
	assert.Contains(t, asked.body, "what is not recorded is not done")

	require.NoError(t, os.Rename(log+".away", log))
	require.NoError(t, g.Reload(t.Context()))
	after = g.status()
	assert.Empty(t, after.Audit.Error)
	assert.NotEqual(t, before.Snapshot.Digest, after.Snapshot.Digest)
	r, err := host.VerifyAudit(log, host.AuditOptions{Heads: []string{before.Audit.Head, after.Audit.Head}})
	require.NoError(t, err)
	assert.True(t, r.OK, "%v", r.Fault)
}

// A bad version is taken back also when that cannot be recorded: a full disk must not keep it
// in service.
func TestRollbackUnrecorded(t *testing.T) {
	g := startRollouts(t)
	require.NoError(t, g.Rollout(t.Context(), &host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 100}}))
	log := filepath.Join(g.dir, "data", "audit.log")
	require.NoError(t, os.Rename(log, log+".away"))
	token, err := os.ReadFile(filepath.Join(g.dir, "data", "admin.token"))
	require.NoError(t, err)
	post := func(command string) answer {
		return send(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "POST", "http://"+g.admin+"/admin/v1/rollouts/"+command, `{"plugin": "stamp"}`,
			"Authorization: Bearer "+strings.TrimSpace(string(token)))
	}
	assert.Equal(t, 503, post("promote").StatusCode)
	assert.Equal(t, mark(2), g.version(t, rolledURL))
	a := post("rollback")
	assert.Equal(t, 200, a.StatusCode, a.body)
	assert.Equal(t, mark(1), g.version(t, rolledURL))
	require.NoError(t, os.Rename(log+".away", log))
}

// An edited log keeps a gateway from starting, with the place.
func TestStartRefusesAnEditedAuditLog(t *testing.T) {
	dir := t.TempDir()
	options := prepare(t, dir, files{})
	run := func() error {
		h, err := host.New(options)
		require.NoError(t, err)
		t.Cleanup(func() { h.Close() })
		ended := make(chan error, 1)
		go func() { ended <- h.Run(t.Context()) }() // ends by Close, or by itself
		select {
		case err := <-ended:
			return err
		case <-h.Ready():
			require.NoError(t, h.Close())
			return <-ended
		}
	}
	require.NoError(t, run())
	require.NoError(t, run())
	log := filepath.Join(dir, "data", "audit.log")
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(log, []byte(strings.Replace(string(text), `"apis":0`, `"apis":1`, 1)), 0o600))
	assert.ErrorContains(t, run(), "audit.log:3: it says the hash")
	require.NoError(t, os.WriteFile(log, text, 0o600))
	require.NoError(t, run())
	r, err := host.VerifyAudit(log, host.AuditOptions{})
	require.NoError(t, err)
	assert.True(t, r.OK, "%v", r.Fault)
	assert.Empty(t, r.Unstopped, "each run recorded its stop")
}

// One table: every policy with all that it may do; the same offline.
func TestReview(t *testing.T) {
	g := startAudited(t)
	g.update(files{
		"apis/_gateway.yaml": "x-wasmgate-policies: [{plugin: ip-rules, config: {deny: [192.0.2.1]}}]\n",
		"apis/tokens.yaml": document("x-wasmgate-api: {id: tokens, stage: prod}\nx-wasmgate-policies: [{plugin: jwt, config: {issuer: \"https://id.example\", audience: [a]}, grants: {jwks: [\"https://id.example\"]}}]",
			`/t: {get: {`+mock+`}}`)})
	got := g.review()
	by := map[string]control.ReviewedPolicy{}
	for _, p := range got.Policies {
		by[p.Plugin] = p
	}
	require.Len(t, by, 4)
	assert.Equal(t, []string{"gateway"}, by["ip-rules"].Bound)
	assert.Equal(t, []string{"audited GET /a"}, by["mine"].Bound)
	assert.Equal(t, []string{"tokens"}, by["jwt"].Bound)
	assert.Equal(t, []string{"audited", "tokens"}, by["mock"].Bound)
	jwt := by["jwt"]
	assert.Equal(t, "built-in", jwt.Source)
	assert.NotEmpty(t, jwt.Version)
	assert.Contains(t, jwt.Powers, "may verify token signatures with key sets that the policy grants by URL")
	assert.Equal(t, []string{"https://id.example"}, jwt.Grants.JWKS)
	assert.Equal(t, "pooled fail", jwt.Isolation+" "+jwt.OnError)
	assert.Positive(t, jwt.Instances)
	mine := by["mine"]
	assert.Contains(t, mine.Source, "plugins/mine.wasm")
	assert.Equal(t, "fresh deny", mine.Isolation+" "+mine.OnError)
	assert.EqualValues(t, 2<<20, mine.Memory)
	assert.Empty(t, mine.Powers)

	config, err := host.Load(host.LoadOptions{File: filepath.Join(g.dir, "wasmgate.yaml"), Environ: []string{}})
	require.NoError(t, err)
	offline, err := host.ReviewConfig(t.Context(), host.Options{Config: config, Builtins: builtins(t)})
	require.NoError(t, err)
	assert.Equal(t, got.Policies, offline.Policies)
	assert.Equal(t, got.Snapshot, offline.Snapshot)
	assert.Nil(t, offline.Audit)
}

// Each step of a rollout stands in the log before it is taken; one that cannot be recorded is
// not taken.
func TestRolloutsAreRecorded(t *testing.T) {
	g := startRollouts(t)
	ctx := t.Context()
	n := len(g.audit(0))
	steps := func() (steps []string) {
		for _, r := range g.audit(n) {
			if r.Kind == "rollout" {
				steps = append(steps, fmt.Sprint(r.Fields["step"], " ", r.Fields["serves"]))
				assert.Equal(t, "stamp", r.Fields["plugin"])
				assert.Regexp(t, "^sha256:", r.Fields["new"])
			}
		}
		return steps
	}
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 10}}))
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Share: rollout.Share{Percent: 100}}))
	require.NoError(t, g.Promote(ctx, "stamp"))
	require.NoError(t, g.Rollback(ctx, "stamp", "it is slow"))
	list := steps()
	require.Len(t, list, 4)
	assert.Equal(t, []string{"started", "reshared", "promoted", "rolled"}, []string{
		strings.Fields(list[0])[0], strings.Fields(list[1])[0], strings.Fields(list[2])[0], strings.Fields(list[3])[0]})
	last := g.audit(n)
	assert.True(t, slices.ContainsFunc(last, func(r recorded) bool { return r.Fields["reason"] == "it is slow" }))

	log := filepath.Join(g.dir, "data", "audit.log")
	require.NoError(t, os.Rename(log, log+".away"))
	err := g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(3)), Share: rollout.Share{Percent: 100}})
	assert.ErrorContains(t, err, "append to audit log")
	assert.Equal(t, mark(1), g.version(t, rolledURL))
	require.NoError(t, os.Rename(log+".away", log))
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(3)), Share: rollout.Share{Percent: 100}}))
	assert.Equal(t, mark(3), g.version(t, rolledURL))
	g.verified(t)
}

// The pages of the built-in plugins: what each may do, decides and is shown. A change here is
// a change of what every operator has trusted.
func TestBuiltInPages(t *testing.T) {
	fsys := builtins(t)
	names, err := fs.Glob(fsys, "*.wasm")
	require.NoError(t, err)
	var out strings.Builder
	for _, name := range names {
		wasm, err := fs.ReadFile(fsys, name)
		require.NoError(t, err)
		page := host.ReadPlugin(wasm)
		assert.Empty(t, page.Refused, name)
		fmt.Fprintf(&out, "%s\n", page.Manifest.ID)
		for _, p := range page.Powers {
			fmt.Fprintf(&out, "  %s [grant %s]\n", p.Power, p.Grant)
		}
		for _, h := range page.Hooks {
			fmt.Fprintf(&out, "  %s sees %s\n", h.Hook, strings.Join(h.Sees, "; "))
		}
	}
	const file = "testdata/builtin-pages.txt"
	if os.Getenv("WASMGATE_UPDATE") != "" {
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), out.String(), "run with WASMGATE_UPDATE=1 when this is meant")
}
