package project

import (
	"bytes"
	"errors"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

// sdks are the SDKs as they come into the binary.
func sdks(t *testing.T) (archive []byte, _ fs.FS) {
	t.Helper()
	var b bytes.Buffer
	if err := WriteSDKs(&b, os.DirFS("../../..")); err != nil {
		t.Fatal(err)
	}
	fsys, err := ReadSDKs(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), fsys
}

// Every hook in every language, alone and all together, is a whole project: what only a
// toolchain can tell is tried in cmd/wasmgate.
func TestNew(t *testing.T) {
	for _, lang := range Languages() {
		fsys := fstest.MapFS{lang + "/LICENSE": {Data: []byte("free")}}
		for _, hooks := range append(pairs(Hooks()), Hooks()) {
			t.Run(lang+"/"+strings.Join(hooks, ","), func(t *testing.T) {
				folder, err := New(t.TempDir(), Spec{ID: "0-my_plugin", Language: lang, Hooks: hooks, SDKs: fsys})
				if err != nil {
					t.Fatal(err)
				}
				checkProject(t, folder, hooks)
			})
		}
	}
}

// pairs is each name alone, and each with the one before it, in the wrong order.
func pairs(names []string) (out [][]string) {
	for i, n := range names {
		out = append(out, []string{n})
		if i > 0 {
			out = append(out, []string{n, names[i-1]})
		}
	}
	return out
}

func checkProject(t *testing.T, folder string, hooks []string) {
	t.Helper()
	p, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	if p.File() != filepath.Join(folder, "0-my_plugin.wasm") || len(p.Manifest.Hooks) != len(hooks) || p.Manifest.ConfigSchema == nil {
		t.Errorf("file %s, manifest %+v", p.File(), p.Manifest)
	}
	for _, name := range hooks {
		cases, err := casefile.Load(filepath.Join(folder, "testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			if c.Hook.String() != name || c.Fuel == 0 {
				t.Errorf("case %q is of %v and may take %d fuel", c.Name, c.Hook, c.Fuel)
			}
		}
		if h, _ := abi.HookByName(name); p.Manifest.Hooks[h].Fields == abi.DefaultMask(h).Fields {
			t.Errorf("hook %s asks for everything", name)
		}
	}
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(path, "/sdk/") {
			return nil
		}
		switch {
		case bytes.Contains(text, []byte("[[.")) || bytes.Contains(text, []byte("<no value>")):
			t.Errorf("%s: left over from its template", path)
		case !bytes.HasSuffix(text, []byte("\n")) || bytes.HasSuffix(text, []byte("\n\n")) || bytes.Contains(text, []byte("\n\n\n")):
			t.Errorf("%s: blank lines:\n%s", path, text)
		case strings.HasSuffix(path, ".go"):
			if want, err := format.Source(text); err != nil || !bytes.Equal(text, want) {
				t.Errorf("%s: gofmt: %v\n%s", path, err, text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "sdk", "LICENSE")); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	_, fsys := sdks(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "taken", "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	languages, hooks := strings.Join(Languages(), ", "), strings.Join(Hooks(), ", ")
	for _, test := range []struct {
		id, lang string
		hooks    []string
		want     string
	}{
		{"p", "cobol", []string{"guard"}, `language "cobol", want one of ` + languages},
		{"p", "", []string{"guard"}, `language "", want one of ` + languages},
		{"p", "c", []string{"configure"}, `hook "configure", want one or more of ` + hooks},
		{"p", "c", []string{"guard", "gard"}, `hook "gard", want one or more of ` + hooks},
		{"p", "c", []string{"guard", "guard"}, `hook "guard" is there twice`},
		{"p", "c", nil, `no hook, want one or more of ` + hooks},
		{"../p", "c", []string{"guard"}, `read manifest: id: got "../p", want 1 to 64 of a-z, 0-9, - and _, a letter or digit first`},
		{"", "c", []string{"guard"}, `read manifest: id: got "", want 1 to 64 of a-z, 0-9, - and _, a letter or digit first`},
		{"taken", "c", []string{"guard"}, `make plugin "taken": folder ` + filepath.Join(dir, "taken") + ` is not empty`},
	} {
		_, err := New(dir, Spec{ID: test.id, Language: test.lang, Hooks: test.hooks, SDKs: fsys})
		if err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("something was written: %v, %v", entries, err)
	}
}

// The archive is the same whenever it is made, and has what plugins need only.
func TestSDKs(t *testing.T) {
	archive, fsys := sdks(t)
	if again, _ := sdks(t); !bytes.Equal(archive, again) {
		t.Error("the same sources gave other bytes")
	}
	for _, lang := range Languages() {
		if _, err := fs.Stat(fsys, lang+"/LICENSE"); err != nil {
			t.Error(err)
		}
	}
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if strings.Contains(path, "test") || strings.HasSuffix(path, ".wasm") || strings.HasSuffix(path, ".sh") {
			t.Errorf("%s is inside", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSDKs(archive[:100]); err == nil {
		t.Error("half an archive was read")
	}
	if err := WriteSDKs(&bytes.Buffer{}, os.DirFS(t.TempDir())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v from a folder without SDKs", err)
	}
}
