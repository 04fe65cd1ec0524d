package host_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/workbench"
)

// sdks are the languages that have an SDK. build is a command line that is run in folder,
// with NAME for the example and OUT for the file to write. Manifests and case files are
// those of Go's examples: one set for all.
var sdks = []struct{ name, folder, build string }{
	{"Go", "../sdk/go/examples", "env GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -buildmode=c-shared -ldflags=-s -o OUT ./NAME"},
	{"Rust", "../sdk/rust", "sh build.sh NAME OUT"},
	{"AssemblyScript", "../sdk/assemblyscript", "sh build.sh NAME OUT"},
	{"C", "../sdk/c", "sh build.sh NAME OUT"},
	{"Zig", "../sdk/zig", "sh build.sh NAME OUT"},
}

const reference = "../sdk/go/examples"

// toolchains is an environment that has the compilers of `make setup` in its path.
func toolchains(t *testing.T) []string {
	t.Helper()
	cache, err := filepath.Abs("../.cache")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(cache, "languages", "bin", "zig"), "make setup installs it")
	return append(os.Environ(), "PATH="+filepath.Join(cache, "languages", "bin")+string(os.PathListSeparator)+os.Getenv("PATH"),
		"CARGO_TARGET_DIR="+filepath.Join(cache, "cargo"))
}

// buildExample compiles an example with the language's toolchain and packs the manifest in.
func buildExample(t *testing.T, folder, build, name string) ([]byte, *abi.Manifest) {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	words := strings.Fields(strings.NewReplacer("NAME", name, "OUT", out).Replace(build))
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir, cmd.Env = folder, toolchains(t)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s in %s:\n%s", strings.Join(words, " "), folder, text)
	wasm, err := os.ReadFile(out)
	require.NoError(t, err)
	text, err = os.ReadFile(filepath.Join(reference, name, "manifest.json"))
	require.NoError(t, err)
	manifest, err := abi.ParseManifest(text)
	require.NoError(t, err)
	wasm, err = abi.AppendManifest(wasm, text)
	require.NoError(t, err)
	return wasm, manifest
}

// TestSDKs builds every example of every language, runs the same case files through the
// gateway's engine, and compares sdk/README.md's parity table with what came of it.
// WASMGATE_UPDATE=1 writes the table anew.
func TestSDKs(t *testing.T) {
	rows := map[string][]string{}
	for _, l := range sdks {
		t.Run(l.name, func(t *testing.T) {
			wasm, manifest := buildExample(t, l.folder, l.build, "hello")
			module, err := abi.Inspect(wasm)
			require.NoError(t, err)
			require.NoError(t, module.Check(manifest))
			for _, i := range module.Imports {
				assert.False(t, strings.HasPrefix(i.Module, "wasmgate."), "hello imports %s %s", i.Module, i.Name)
				assert.True(t, l.name == "Go" || i.Module != "wasi_snapshot_preview1", "hello imports %s %s", i.Module, i.Name)
			}
			runExample(t, "hello", wasm)
			throughGateway(t, wasm)

			wasm, manifest = buildExample(t, l.folder, l.build, "full")
			module, err = abi.Inspect(wasm)
			require.NoError(t, err)
			require.NoError(t, module.Check(manifest))
			rows[l.name] = append(runExample(t, "full", wasm), imported(module)...)
		})
	}
	checkParity(t, rows)
}

// imported are the capabilities of a module, as in abi.json.
func imported(module *abi.Module) (powers []string) {
	for _, i := range module.Imports {
		if strings.HasPrefix(i.Module, "wasmgate.") {
			powers = append(powers, i.Module+" "+i.Name)
		}
	}
	return powers
}

// runExample runs an example's case files; it gives the hooks all of whose cases passed.
func runExample(t *testing.T, name string, wasm []byte) (hooks []string) {
	bench, err := workbench.New(t.Context(), workbench.Options{CacheDir: compiled})
	require.NoError(t, err)
	defer bench.Close(context.Background())
	plugin, err := bench.Open(t.Context(), name, wasm)
	require.NoError(t, err)
	defer plugin.Close()
	cases, err := casefile.Load(filepath.Join(reference, name, "testdata", "cases.json"))
	require.NoError(t, err)
	failed := map[abi.Hook]bool{}
	for _, c := range cases {
		if c.Config == nil && name == "full" {
			c.Config = []byte("x-api-key https://up.example") // it wants one
		}
		ok := t.Run(name+"/"+c.Name, func(t *testing.T) {
			require.NoError(t, plugin.Run(t.Context(), c).Check(c))
		})
		failed[c.Hook] = failed[c.Hook] || !ok
	}
	for h, bad := range failed {
		if !bad {
			hooks = append(hooks, h.String())
		}
	}
	return hooks
}

// throughGateway asks a running gateway with hello as its only policy.
func throughGateway(t *testing.T, wasm []byte) {
	t.Helper()
	u := serve(t, nil)
	g := start(t, files{
		"plugins/hello.wasm": string(wasm),
		"apis/a.yaml":        document(`x-wasmgate-api: {id: api}`, at("/pets", "x-wasmgate-policies: [{plugin: hello}]", proxy(u.URL))),
	})
	g.each(t, func(t *testing.T, c *http.Client) {
		assert.Equal(t, 200, get(t, c, site+"/pets", "X-Token: let-me-in").StatusCode)
		assert.Equal(t, 401, get(t, c, site+"/pets", "X-Token: let-me").StatusCode)
		assert.Equal(t, 401, get(t, c, site+"/pets").StatusCode)
	})
}

// checkParity compares the table between the markers of sdk/README.md with the rows.
func checkParity(t *testing.T, rows map[string][]string) {
	t.Helper()
	columns := []string{}
	for h := range abi.Hooks() {
		columns = append(columns, h.String())
	}
	for c := range abi.Capabilities() {
		columns = append(columns, c.String())
	}
	var table strings.Builder
	table.WriteString("| |")
	for _, l := range sdks {
		table.WriteString(" " + l.name + " |")
	}
	table.WriteString("\n|---|" + strings.Repeat("---|", len(sdks)) + "\n")
	for _, column := range columns {
		table.WriteString("| `" + column + "` |")
		for _, l := range sdks {
			table.WriteString(map[bool]string{true: " yes |", false: " - |"}[slices.Contains(rows[l.name], column)])
		}
		table.WriteString("\n")
	}
	if len(rows) < len(sdks) {
		return // some were not run, or failed
	}
	const path, begin, end = "../sdk/README.md", "<!-- gen:parity -->\n", "<!-- /gen:parity -->"
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	head, rest, found := bytes.Cut(old, []byte(begin))
	require.True(t, found, "%s has no %s", path, begin)
	got, tail, found := bytes.Cut(rest, []byte(end))
	require.True(t, found, "%s has no %s", path, end)
	if os.Getenv("WASMGATE_UPDATE") != "" && !t.Failed() {
		require.NoError(t, os.WriteFile(path, slices.Concat(head, []byte(begin), []byte(table.String()), []byte(end), tail), 0o644))
		return
	}
	assert.Equal(t, table.String(), string(got), "%s differs: WASMGATE_UPDATE=1 writes it anew", path)
}
