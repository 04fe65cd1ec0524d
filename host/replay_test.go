package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// replayIn says, in the environment of this test binary, where the recordings are that it
// runs again instead of tests, as a process of its own: a folder and a plugins.dir.
const replayIn = "WASMGATE_TEST_REPLAY"

// replayElsewhere is the main of that process: it prints what came of each recording.
func replayElsewhere(where string) int {
	recordings, plugins, _ := strings.Cut(where, string(filepath.ListSeparator))
	config, err := host.Load(host.LoadOptions{Environ: []string{}, Set: map[string]string{"plugins.dir": plugins}})
	if err == nil {
		var all []host.Replayed
		all, err = host.Replay(context.Background(), host.ReplayOptions{Config: config, Builtins: os.DirFS("../cmd/wasmgate/builtin"), Paths: []string{recordings}})
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(all)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// elsewhere runs the recordings of a gateway in another process with another collector and
// number of processors.
func elsewhere(t *testing.T, g *gateway, environ ...string) (all []host.Replayed) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), environ...), replayIn+"="+g.recordings("")+string(filepath.ListSeparator)+filepath.Join(g.dir, "plugins"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	require.NoError(t, json.Unmarshal(out, &all))
	return all
}

func (g *gateway) replay() host.ReplayOptions {
	config, err := host.Load(host.LoadOptions{Environ: []string{}, Set: map[string]string{"plugins.dir": filepath.Join(g.dir, "plugins"), "data_dir": filepath.Join(g.dir, "data")}})
	require.NoError(g.t, err)
	return host.ReplayOptions{Config: config, Builtins: builtins(g.t), Paths: []string{g.recordings("")}}
}

// guarding is a plugin that decides so, and gives a reason, on long requests; on others it has
// no opinion.
func guarding(t *testing.T, decision abi.Decision, before ...[]byte) string {
	t.Helper()
	var w abi.Writer[abi.ResultField]
	record := make([]byte, 256)
	w.Start(record, abi.HookGuard, 2)
	w.Uint(abi.ResultDecision, uint64(decision))
	w.String(abi.ResultReason, "because")
	n, err := w.Finish()
	require.NoError(t, err)
	m := plugin(abi.HookGuard, append(before, packed(256, int64(n)))...)
	m.Data(256, record[:n])
	return string(m.Bytes())
}

// recordedGuard is a gateway with a recording of a short request and one of a long one.
func recordedGuard(t *testing.T) (*gateway, []*casefile.Case) {
	t.Helper()
	u := serve(t, nil)
	g := start(t, files{"plugins/v1.wasm": guarding(t, abi.DecisionAllow),
		"apis/a.yaml": document("x-wasmgate-api: {id: api}", at("/x", policies(recordedPolicy("v1", "{}", "fuel: 5000")), proxy(u.URL)))})
	require.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	require.Equal(t, 200, get(t, g.h1, site+"/x", "X-Long: "+strings.Repeat("x", harmless)).StatusCode)
	return g, g.recorded(t, "v1", 2)
}

// replayed is what came of both recordings.
func replayed(t *testing.T, o host.ReplayOptions) (outcomes []string, differences []host.ReplayDifference) {
	t.Helper()
	all, err := host.Replay(t.Context(), o)
	require.NoError(t, err)
	for _, one := range all {
		outcomes = append(outcomes, one.Outcome)
		differences = append(differences, one.Differences...)
	}
	return outcomes, differences
}

// Another version is tried on what was recorded: its decisions count, not what they cost.
func TestReplayAnotherVersion(t *testing.T) {
	g, cases := recordedGuard(t)
	o := g.replay()
	outcomes, differences := replayed(t, o)
	assert.Equal(t, []string{"same", "same"}, outcomes)
	assert.Empty(t, differences)

	o.Another, o.Module = true, filepath.Join(t.TempDir(), "v2.wasm")
	costly := guarding(t, abi.DecisionAllow, I32Const(1), Drop)
	for name, test := range map[string]struct {
		wasm, outcome, field string
	}{
		"dearer":  {costly, "same", "fuel"},
		"denies":  {guarding(t, abi.DecisionDeny), "changed", "decision"},
		"traps":   {guarding(t, abi.DecisionAllow, Unreachable), "trapped", "trap"},
		"endless": {guarding(t, abi.DecisionAllow, Loop(Empty, Br(0))), "trapped", "trap"}, // by the recorded budget
	} {
		require.NoError(t, os.WriteFile(o.Module, []byte(test.wasm), 0o600))
		outcomes, differences := replayed(t, o)
		assert.Equal(t, []string{"same", test.outcome}, outcomes, name)
		if assert.NotEmpty(t, differences, name) {
			assert.Equal(t, test.field, differences[0].Field, name)
			assert.NotEqual(t, differences[0].Got, differences[0].Want, name)
		}
	}

	// What the recorded version did not ask for is not there.
	narrow, wide := `{"id": "v1", "version": "1", "abi": 1, "hooks": {"guard": {"fields": ["method"]}}}`, `{"id": "v1", "version": "2", "abi": 1, "hooks": {"guard": {"fields": ["method", "path", "query", "headers"]}}}`
	packed := func(manifest string) string {
		wasm, err := abi.AppendManifest([]byte(guarding(t, abi.DecisionAllow)), []byte(manifest))
		require.NoError(t, err)
		return string(wasm)
	}
	g.update(files{"plugins/v1.wasm": packed(narrow)})
	require.Equal(t, 200, get(t, g.h1, site+"/x?a=b").StatusCode)
	g.recorded(t, "v1", 3)
	require.NoError(t, os.WriteFile(o.Module, []byte(packed(wide)), 0o600))
	all, err := host.Replay(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, all, 3)
	assert.Empty(t, all[0].Unseen)
	assert.Equal(t, []string{"path", "headers"}, all[2].Unseen, "a request need not have a query")

	// As an author's cases, too, where fuel of one version says nothing of another's.
	bench, err := host.OpenWorkbench(t.Context(), host.WorkbenchOptions{ID: "v2", Wasm: []byte(costly)})
	require.NoError(t, err)
	defer bench.Close(context.Background())
	for _, c := range cases {
		assert.NoError(t, bench.Run(t.Context(), c).Check(c))
	}
}

// The module is found by its digest wherever it is kept.
func TestReplayFindsTheModule(t *testing.T) {
	g, cases := recordedGuard(t)
	digest, file := cases[0].Module.SHA256, filepath.Join(g.dir, "plugins", "v1.wasm")
	o := g.replay()
	o.Module = filepath.Join(t.TempDir(), "other.wasm")
	require.NoError(t, os.WriteFile(o.Module, []byte(guarding(t, abi.DecisionDeny)), 0o600))
	_, err := host.Replay(t.Context(), o)
	assert.ErrorContains(t, err, "want "+digest+", which was recorded; --another runs another version")

	o.Module = ""
	require.NoError(t, os.Rename(file, filepath.Join(g.dir, "kept")))
	_, err = host.Replay(t.Context(), o)
	assert.ErrorContains(t, err, `plugin "v1", sha256 `+digest+`, is neither built in nor in plugins.dir or data_dir: --module names its file`)

	pulled := filepath.Join(g.dir, "data", "plugins", "sha256", digest)
	require.NoError(t, os.MkdirAll(filepath.Dir(pulled), 0o700))
	require.NoError(t, os.WriteFile(pulled, []byte("another module than its name says"), 0o600))
	_, err = host.Replay(t.Context(), o)
	assert.ErrorContains(t, err, "is neither built in nor")
	require.NoError(t, os.Rename(filepath.Join(g.dir, "kept"), pulled))
	outcomes, _ := replayed(t, o)
	assert.Equal(t, []string{"same", "same"}, outcomes)
}
