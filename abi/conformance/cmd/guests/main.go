// Guests compiles the conformance guests: each .wat with wat2wasm, each .c with clang, each
// .hex by itself, and puts the manifest in that stands beside it as .json. A manifest
// NAME.VARIANT.json makes another guest of NAME's source.
//
//	go run ./abi/conformance/cmd/guests [-o DIR]
package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	from := flag.String("from", "abi/conformance/guests", "folder of the sources")
	to := flag.String("o", "abi/conformance/guests", "folder to write to")
	flag.Parse()
	if err := compileAll(context.Background(), *from, *to); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// compileAll compiles every source in from to a .wasm in to.
func compileAll(ctx context.Context, from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	var faults []error
	plain := map[string][]byte{} // modules without manifest
	var manifests []string
	for _, e := range entries {
		name, kind := e.Name(), filepath.Ext(e.Name())
		switch kind {
		case ".json":
			manifests = append(manifests, strings.TrimSuffix(name, kind))
		case ".wat", ".c", ".hex":
			wasm, err := compile(ctx, filepath.Join(from, name), kind)
			faults = append(faults, err)
			plain[strings.TrimSuffix(name, kind)] = wasm
		}
	}
	out := map[string][]byte{}
	for name, wasm := range plain {
		out[name] = wasm
	}
	for _, name := range manifests {
		source, _, _ := strings.Cut(name, ".")
		wasm, ok := plain[source]
		if !ok {
			faults = append(faults, fmt.Errorf("manifest %s.json: there is no source %q", name, source))
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, name+".json"))
		faults = append(faults, err)
		out[name] = withManifest(wasm, text)
	}
	for name, wasm := range out {
		faults = append(faults, os.WriteFile(filepath.Join(to, name+".wasm"), wasm, 0o644))
	}
	return errors.Join(faults...)
}

// compile gives the module of one source.
func compile(ctx context.Context, path, kind string) ([]byte, error) {
	if kind == ".hex" {
		return unhex(path)
	}
	dir, err := os.MkdirTemp("", "wasmgate-guest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "out.wasm")
	cmd := exec.CommandContext(ctx, "wat2wasm", path, "-o", out)
	if kind == ".c" {
		cmd = exec.CommandContext(ctx, "clang", "--target=wasm32", "-std=c11", "-O2", "-ffreestanding", "-fno-builtin", "-nostdlib",
			"-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function",
			"-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=16384", "-o", out, path)
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile %s: %w\n%s", path, err, text)
	}
	return os.ReadFile(out)
}

// unhex reads bytes that no compiler would write; a line that begins with a semicolon says why.
func unhex(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, ";") {
			digits.WriteString(strings.Join(strings.Fields(line), ""))
		}
	}
	wasm, err := hex.DecodeString(digits.String())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return wasm, nil
}

// withManifest appends the text as it stands, good or not: hosts must refuse the bad ones,
// which a packer that checks would not let through.
func withManifest(wasm, text []byte) []byte {
	const section = "wasmgate.manifest"
	body := append([]byte{byte(len(section))}, section...)
	body = append(body, text...)
	out := append([]byte(nil), wasm...)
	out = append(out, 0) // a custom section
	out = binary.AppendUvarint(out, uint64(len(body)))
	return append(out, body...)
}
