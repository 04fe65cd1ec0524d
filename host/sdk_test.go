package host_test

import (
	"context"
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
// with NAME for the example and OUT for the file to write. canary is the name of the guest of
// TestSDKCanaries. Manifests and case files are those of Go's examples: one set for all.
var sdks = []struct{ name, folder, build, canary string }{
	{"Go", "../sdk/go/examples", "env GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -buildmode=c-shared -ldflags=-s -o OUT ./NAME", "canary"},
	{"Rust", "../sdk/rust", "sh build.sh NAME OUT", "canary"},
	{"AssemblyScript", "../sdk/assemblyscript", "sh build.sh NAME OUT", "../tests/canary"},
	{"C", "../sdk/c", "sh build.sh NAME OUT", "tests/canary"},
	{"Zig", "../sdk/zig", "sh build.sh NAME OUT", "../tests/canary"},
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

// build compiles an example with the language's toolchain.
func build(t *testing.T, folder, build, name string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(name)+".wasm")
	words := strings.Fields(strings.NewReplacer("NAME", name, "OUT", out).Replace(build))
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir, cmd.Env = folder, toolchains(t)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s in %s:\n%s", strings.Join(words, " "), folder, text)
	wasm, err := os.ReadFile(out)
	require.NoError(t, err)
	return wasm
}

// withManifest is a module with the manifest of an example in it.
func withManifest(t *testing.T, wasm []byte, name string) []byte {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(reference, name, "manifest.json"))
	require.NoError(t, err)
	wasm, err = abi.AppendManifest(wasm, manifest)
	require.NoError(t, err)
	return wasm
}

// inspected is what stands in a module, which is as its manifest says.
func inspected(t *testing.T, wasm []byte) *abi.Module {
	t.Helper()
	module, err := abi.Inspect(wasm)
	require.NoError(t, err)
	manifest, found, err := abi.ReadManifest(wasm)
	require.NoError(t, err)
	require.True(t, found)
	require.NoError(t, module.Check(manifest))
	return module
}

// TestSDKs builds every example of every language, hello as sdk/README.md says and full in a
// copy of the SDK's folder, runs the same case files through the gateway's engine, sees them
// at work in a running gateway, and compares sdk/README.md's parity table with what came of
// it. WASMGATE_UPDATE=1 writes the table anew.
func TestSDKs(t *testing.T) {
	t.Parallel() // it waits for programs and compilers more than it works
	rows := map[string][]string{}
	for i, l := range sdks {
		t.Run(l.name, func(t *testing.T) {
			wasm := firstSteps(t, i)
			for _, i := range inspected(t, wasm).Imports {
				assert.False(t, strings.HasPrefix(i.Module, "wasmgate."), "hello imports %s %s", i.Module, i.Name)
				assert.True(t, l.name == "Go" || i.Module != "wasi_snapshot_preview1", "hello imports %s %s", i.Module, i.Name)
			}
			runExample(t, "hello", wasm)
			serveFirstSteps(t, wasm)

			folder := l.folder
			if folder != reference {
				folder = alone(t, folder)
			}
			wasm = withManifest(t, build(t, folder, l.build, "full"), "full")
			module := inspected(t, wasm)
			hooks := runExample(t, "full", wasm)
			fullThroughGateway(t, wasm)
			if !t.Failed() {
				rows[l.name] = append(hooks, imported(module)...)
			}
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
	old := guideTable(t, "parity")
	if os.Getenv("WASMGATE_UPDATE") != "" && !t.Failed() {
		old.write(t, table.String())
		return
	}
	t.Logf("\n%s", table.String())
	assert.Equal(t, table.String(), old.text, "sdk/README.md differs: WASMGATE_UPDATE=1 writes it anew")
}

// region is the text between the markers of a table in sdk/README.md, and what stands around it.
type region struct{ head, text, tail string }

const guidePath = "../sdk/README.md"

func guideTable(t *testing.T, name string) region {
	t.Helper()
	text, err := os.ReadFile(guidePath)
	require.NoError(t, err)
	begin, end := "<!-- gen:"+name+" -->\n", "<!-- /gen:"+name+" -->"
	head, rest, found := strings.Cut(string(text), begin)
	require.True(t, found, "%s has no %s", guidePath, begin)
	table, tail, found := strings.Cut(rest, end)
	require.True(t, found, "%s has no %s", guidePath, end)
	return region{head + begin, table, end + tail}
}

func (r region) write(t *testing.T, table string) {
	t.Helper()
	require.NoError(t, os.WriteFile(guidePath, []byte(r.head+table+r.tail), 0o644))
}
