package project

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// write makes files in a new folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const manifest = `{"id": "mine", "version": "1", "abi": 1, "hooks": {"guard": {}}}`

func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct{ project, manifest, want string }{
		{`{"language": "fortran"}`, manifest, `language: got "fortran", want one of ` + strings.Join(Languages(), ", ")},
		{`{"language": "c", "command": ["make"]}`, manifest, "want either language, or command and module"},
		{`{"command": ["make"]}`, manifest, "want either language, or command and module"},
		{`{}`, manifest, "want either language, or command and module"},
		{`{"language": "c", "flags": "-O3"}`, manifest, `unknown field "flags"`},
		{`{"language": "c"} {}`, manifest, "text after the object"},
		{`{"language": "c"}`, strings.Replace(manifest, "guard", "gard", 1), "hooks.gard: unknown hook"},
	} {
		dir := write(t, map[string]string{projectFile: test.project, manifestFile: test.manifest})
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got %v, want %q and the file", test.project, err, test.want)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), projectFile) {
		t.Errorf("got %v", err)
	}
}

// guest is a module that exports marker, memory, scratch and wg_guard, all of one type.
func guest() string {
	section := func(id byte, body string) string { return string([]byte{id, byte(len(body))}) + body }
	name := func(s string) string { return string([]byte{byte(len(s))}) + s }
	return "\x00asm\x01\x00\x00\x00" +
		section(1, "\x01\x60\x00\x00") + section(3, "\x01\x00") + section(5, "\x01\x00\x01") +
		section(7, "\x04"+name("wg_abi_v1")+"\x00\x00"+name("memory")+"\x02\x00"+name("wg_scratch")+"\x00\x00"+name("wg_guard")+"\x00\x00") +
		section(10, "\x01\x02\x00\x0b")
}

// A language without an SDK here has a command of its own.
func TestBuildByCommand(t *testing.T) {
	dir := write(t, map[string]string{
		projectFile:  `{"command": ["sh", "compile.sh"], "module": "out.wasm"}`,
		"compile.sh": "cp source out.wasm", "source": guest(), manifestFile: manifest,
	})
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if file := p.Newer(); file != "" {
		t.Errorf("%s is newer than no module", file)
	}
	wasm, err := p.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m, found, err := abi.ReadManifest(wasm); err != nil || !found || m.ID != "mine" {
		t.Errorf("manifest %+v, %v", m, err)
	}
	if err := p.Write(wasm); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "mine.wasm")); err != nil || !bytes.Equal(got, wasm) {
		t.Errorf("wrote %d bytes, %v", len(got), err)
	}
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for _, name := range []string{"mine.wasm.minisig", "old.wasm", "README.md", ".notes"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, name), future, future); err != nil {
			t.Fatal(err)
		}
	}
	for name, at := range map[string]time.Time{"compile.sh": past, "source": future, projectFile: past, manifestFile: past, "out.wasm": past} {
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if file := p.Newer(); file != filepath.Join(dir, "source") {
		t.Errorf("newer is %q, want source", file)
	}
	for script, want := range map[string]string{
		"echo no such type >&2; exit 3": "sh compile.sh: exit status 3\nno such type",
		"printf x >out.wasm":            "not a Wasm module",
		"rm -f out.wasm":                "no such file",
	} {
		if err := os.WriteFile(filepath.Join(dir, "compile.sh"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Build(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `build plugin "mine": `) {
			t.Errorf("%s: got %v, want %q", script, err, want)
		}
	}
}

// A module that is not what its manifest says is no plugin.
func TestBuildChecksManifest(t *testing.T) {
	dir := write(t, map[string]string{
		projectFile: `{"command": ["true"], "module": "out.wasm"}`, "out.wasm": guest(),
		manifestFile: strings.Replace(manifest, `"guard"`, `"throttle": {}, "guard"`, 1),
	})
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := `hook throttle: exported as "wg_throttle": false, listed in the manifest: true`
	if _, err := p.Build(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// A toolchain that is not there is named, and how to get it.
func TestMissingToolchains(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, lang := range languages() {
		if lang.name == "rust" {
			continue // below: Debian's is called by its path
		}
		_, err := lang.compile(t.Context(), &Project{Dir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), " is missing: ") {
			t.Errorf("%s: got %v", lang.name, err)
		}
	}
	root := t.TempDir()
	if _, err := rustFrom(root, ""); err == nil || !strings.Contains(err.Error(), "rustup target add wasm32-unknown-unknown") {
		t.Errorf("got %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "lib", "rustlib", "src", "rust", "library"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r, err := rustFrom("", root); err != nil || r.command[0] != "/usr/bin/cargo" || r.suffix == "" {
		t.Errorf("Debian's: got %+v, %v", r, err)
	}
	if err := os.MkdirAll(filepath.Join(root, "lib", "rustlib", rustTarget, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r, err := rustFrom(root, root); err != nil || r.command[0] != "cargo" || r.suffix != "" {
		t.Errorf("the installed one with the target: got %+v, %v", r, err)
	}
}
