package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// maxSize is what a built-in may weigh: fmt, encoding/json or net/http would show.
const maxSize = 2_600_000

// TestRun builds all plugins as make does and looks at what came out.
func TestRun(t *testing.T) {
	t.Chdir("../..")
	out := t.TempDir()
	if err := run(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	folders, err := filepath.Glob("*/manifest.json")
	if err != nil || len(folders) < 9 {
		t.Fatalf("got %d plugins, %v", len(folders), err)
	}
	for _, folder := range folders {
		id := filepath.Dir(folder)
		wasm, err := os.ReadFile(filepath.Join(out, id+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		check(t, id, wasm)
	}
	rebuilds(t, out)
}

func check(t *testing.T, id string, wasm []byte) {
	t.Helper()
	manifest, found, err := abi.ReadManifest(wasm)
	if err != nil || !found || manifest.ID != id || manifest.ConfigSchema == nil {
		t.Fatalf("%s: manifest %+v, %v", id, manifest, err)
	}
	module, err := abi.Inspect(wasm)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	for _, i := range module.Imports {
		// What a reviewer reads: one built-in has one power.
		if i.Module != "wasi_snapshot_preview1" && (id != "jwt" || i.Module != "wasmgate.jwks.v1") {
			t.Errorf("%s imports %s %s", id, i.Module, i.Name)
		}
	}
	if len(wasm) > maxSize {
		t.Errorf("%s: %d bytes, want at most %d", id, len(wasm), maxSize)
	}
	if root, err := os.Getwd(); err != nil || bytes.Contains(wasm, []byte(root)) {
		t.Errorf("%s holds the path of the machine that built it, %v", id, err)
	}
}

// rebuilds: what is up to date is left alone, what was damaged is made again, the same.
func rebuilds(t *testing.T, out string) {
	t.Helper()
	kept, damaged := filepath.Join(out, "cors.wasm"), filepath.Join(out, "api-key.wasm")
	want, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	past := time.Unix(1e9, 0)
	if err := os.Chtimes(kept, past, past); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, want[:len(want)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(kept); err != nil || !info.ModTime().Equal(past) {
		t.Errorf("built again what was up to date: %v", err)
	}
	if got, err := os.ReadFile(damaged); err != nil || !bytes.Equal(got, want) {
		t.Errorf("built again to other bytes: %v", err)
	}
}

func TestRunRefusesAnotherFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := run(t.Context(), "out"); err == nil || !strings.Contains(err.Error(), "run it in plugins/") {
		t.Errorf("got %v", err)
	}
}
