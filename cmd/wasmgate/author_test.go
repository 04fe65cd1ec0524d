package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/cmd/wasmgate/project"
)

// tongue is what an author's journey needs to know of a language: the source file, and a
// change after which the plugin traps in a function whose name begins so.
type tongue struct{ source, old, new, traps string }

func tongues() map[string]tongue {
	return map[string]tongue{
		"go": {"main.go", `if r.Header("x-token") == token {`, `if r.Header("x-tenant")[3] == 'x' {`, `main\.check`},
		"rust": {"src/lib.rs", "fn check(req: &Request, out: &mut Writer) {",
			"#[inline(never)]\nfn check(req: &Request, out: &mut Writer) {\n    req.header(\"x-tenant\").unwrap();", `plugin_hello::check`},
		"assemblyscript": {"assembly/index.ts", "out: Writer): void {", "out: Writer): void {\n  assert(req.header(\"x-tenant\") !== null);", `assembly/index/check`},
		"c": {"main.c", "WG_AUTHORIZE(req, res) {", "__attribute__((noinline)) static void check(wg_bytes tenant) { if (tenant.len == 0) __builtin_trap(); }\n\n" +
			"WG_AUTHORIZE(req, res) {\n\tcheck(wg_header(req, WG(\"x-tenant\")));", `check`},
		"zig": {"src/main.zig", "fn check(req: Request, out: *Writer) void {",
			"noinline fn check(req: Request, out: *Writer) void {\n    _ = req.header(\"x-tenant\").?;", `main\.check`},
	}
}

// TestAuthors goes an author's way in each language: new, edit, build, test, bench, and a
// running gateway that asks the plugin.
func TestAuthors(t *testing.T) {
	all := tongues()
	for _, lang := range project.Languages() {
		t.Run(lang, func(t *testing.T) {
			l, ok := all[lang]
			require.True(t, ok, "no journey in %s", lang)
			testscript.Run(t, testscript.Params{
				Dir:                 "testdata/author",
				RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("LANGUAGE", lang)
					env.Setenv("SOURCE", l.source)
					env.Setenv("TRAPS", l.traps)
					env.Setenv("HOOKS", strings.Join(project.Hooks(), ","))
					env.Setenv("HOOK_LIST", strings.Join(project.Hooks(), ", "))
					return errors.Join(toolchains(env), chooseAddresses(env))
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exits": exits, "isready": isReady,
					"break": func(ts *testscript.TestScript, _ bool, args []string) {
						path := ts.MkAbs(args[0])
						text, err := os.ReadFile(path)
						ts.Check(err)
						if !bytes.Contains(text, []byte(l.old)) {
							ts.Fatalf("%s has no %q", path, l.old)
						}
						ts.Check(os.WriteFile(path, bytes.Replace(text, []byte(l.old), []byte(l.new), 1), 0o644))
					},
				},
			})
		})
	}
}

// toolchains are those that `make setup` installs, and the user's own with what they keep
// in their homes.
func toolchains(env *testscript.Env) error {
	cache, err := filepath.Abs("../../.cache")
	if err != nil {
		return err
	}
	languages := filepath.Join(cache, "languages", "bin")
	if _, err := os.Stat(filepath.Join(languages, "zig")); err != nil {
		return errors.Join(errors.New("make setup installs the languages' compilers"), err)
	}
	env.Setenv("PATH", languages+string(os.PathListSeparator)+env.Getenv("PATH"))
	env.Setenv("CARGO_TARGET_DIR", filepath.Join(cache, "cargo"))
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "GOCACHE", "GOPATH", "GOROOT", "GOTOOLCHAIN", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"} {
		if value, ok := os.LookupEnv(name); ok {
			env.Setenv(name, value)
		}
	}
	return nil
}

// The SDKs inside the binary must be those of the sources.
func TestEmbeddedSDKs(t *testing.T) {
	got, err := embedded.ReadFile("builtin/" + project.Archive)
	require.NoError(t, err, "run `make plugins`")
	var want bytes.Buffer
	require.NoError(t, project.WriteSDKs(&want, os.DirFS("../..")))
	require.True(t, bytes.Equal(want.Bytes(), got), "the SDKs inside are old: run `make plugins`")
}

// Each hook alone, whose source needs less than that of all together: C's are built and
// tested, Go's and Rust's are checked by their compilers, all in one go.
func TestEachHookAlone(t *testing.T) {
	t.Chdir(t.TempDir())
	wasmgate := func(args ...string) {
		t.Helper()
		var out bytes.Buffer
		require.Zero(t, execute(args, &out, &out), "wasmgate %s\n%s", strings.Join(args, " "), &out)
	}
	var modules strings.Builder
	for _, hook := range project.Hooks() {
		for _, lang := range []string{"c", "go", "rust"} {
			wasmgate("plugin", "new", "--lang", lang, "--hook", hook, lang+"-"+hook)
		}
		wasmgate("plugin", "build", "c-"+hook)
		wasmgate("plugin", "test", "c-"+hook)
		fmt.Fprintf(&modules, "#[path = \"../../rust-%s/src/lib.rs\"]\nmod %s;\n", hook, hook)
	}

	// One module and one crate that have the sources of all.
	goMod, err := os.ReadFile("go-guard/go.mod")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("go.mod", bytes.ReplaceAll(goMod, []byte("./sdk"), []byte("./go-guard/sdk")), 0o644))
	for _, hook := range project.Hooks() {
		require.NoError(t, os.Remove("go-"+hook+"/go.mod"))
	}
	cargo, err := os.ReadFile("rust-guard/Cargo.toml")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll("all/src", 0o755))
	require.NoError(t, os.WriteFile("all/Cargo.toml", bytes.ReplaceAll(cargo, []byte(`path = "sdk"`), []byte(`path = "../rust-guard/sdk"`)), 0o644))
	require.NoError(t, os.WriteFile("all/src/lib.rs", []byte("#![deny(warnings)]\n"+modules.String()), 0o644))
	for _, command := range [][]string{
		{"env", "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off", "go", "vet", "./..."},
		{"cargo", "check", "-q", "--offline", "--manifest-path", "all/Cargo.toml", "--target-dir", "cargo"},
	} {
		out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
		require.NoError(t, err, "%s\n%s", strings.Join(command, " "), out)
	}
}
