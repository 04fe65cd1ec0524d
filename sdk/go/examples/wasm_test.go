package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

// build compiles an example as its README says.
func build(t testing.TB, name string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, "./"+name)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestExamples(t *testing.T) {
	for name, powers := range map[string][]string{
		"hello": nil,
		"full": {"wasmgate.crypto.v1 hmac_sha256", "wasmgate.crypto.v1 sha256", "wasmgate.http.v1 call", "wasmgate.jwks.v1 verify",
			"wasmgate.kv.v1 delete", "wasmgate.kv.v1 get", "wasmgate.kv.v1 set", "wasmgate.log.v1 write", "wasmgate.secret.v1 get"},
		"introspect": {"wasmgate.crypto.v1 hmac_sha256", "wasmgate.http.v1 call", "wasmgate.kv.v1 get",
			"wasmgate.kv.v1 set", "wasmgate.secret.v1 get"},
	} {
		t.Run(name, func(t *testing.T) {
			wasm := build(t, name)
			module, err := abi.Inspect(wasm)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(name, "manifest.json"))
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := abi.ParseManifest(text)
			if err != nil {
				t.Fatal(err)
			}
			if err := module.Check(manifest); err != nil {
				t.Error(err)
			}
			var got []string
			for _, i := range module.Imports {
				if strings.HasPrefix(i.Module, "wasmgate.") {
					got = append(got, i.Module+" "+i.Name)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, powers) {
				t.Errorf("imports %q, want %q", got, powers)
			}
			runCases(t, filepath.Join(name, "testdata", "cases.json"), start(t, wasm), manifest)
		})
	}
}

func runCases(t *testing.T, path string, g *guest, manifest *abi.Manifest) {
	cases, err := casefile.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			g.host = c.Host
			mask := abi.DefaultMask(c.Hook)
			if m, ok := manifest.Hooks[c.Hook]; ok {
				mask = m
			}
			if err := c.Run(g, &mask); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCollectorKeepsUp: short exports starve Go's collector (golang/go#69584) unless the
// SDK yields to it. The guest has 16 MiB and leaves 160 KiB in each of 3000 calls.
func TestCollectorKeepsUp(t *testing.T) {
	g := start(t, build(t, "soak"))
	record, err := casefile.EncodeRequest(abi.HookGuard, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		if _, _, err := g.Call(abi.HookGuard, record); err != nil {
			t.Fatalf("call %d, memory %d: %v", i, g.module.Memory().Size(), err)
		}
	}
	t.Logf("memory %d bytes", g.module.Memory().Size())
}

// BenchmarkAuthorize is hello's whole call: write the request, run, parse the result.
func BenchmarkAuthorize(b *testing.B) {
	g := start(b, build(b, "hello"))
	record, err := casefile.EncodeRequest(abi.HookAuthorize, casefile.Fields{"headers": []byte(`{"x-token": "let-me-in"}`)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		out, _, err := g.Call(abi.HookAuthorize, record)
		if err != nil {
			b.Fatal(err)
		}
		if r, err := abi.ParseResult(out, abi.HookAuthorize); err != nil || string(r.Bytes(abi.ResultPrincipal)) != "friend" {
			b.Fatal("no friend", err)
		}
	}
}
