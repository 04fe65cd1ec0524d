package inspect_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest/httpwasm"
	"github.com/wasmgate/wasmgate/host/internal/guest/proxywasm"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
	"github.com/wasmgate/wasmgate/host/internal/inspect"
)

var update = flag.Bool("update", false, "write the golden files")

func foreign() []inspect.Foreign {
	return []inspect.Foreign{{ABI: proxywasm.ABI(), IsCallback: proxywasm.IsCallback}, {ABI: httpwasm.ABI(), IsCallback: httpwasm.IsCallback}}
}

// module has hooks that say nothing, and imports of capabilities and of WASI.
func module(hooks []abi.Hook, imports ...string) *Module {
	m := &Module{Memories: [][2]int{{1, 16}}, Tables: [][2]int{{2, 8}}}
	for _, name := range imports {
		module, name, _ := strings.Cut(name, " ")
		if c, ok := abi.CapabilityOf(module, name); ok {
			m.Import(module, name, Sig(types(c.Params()), types(c.Results())))
		} else {
			m.Import(module, name, Sig(nil, nil))
		}
	}
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(1024<<32|4096)))
	for _, h := range hooks {
		m.Export(h.Export(), m.Func(Sig(T(I32), T(I64)), nil, I64Const(0)))
	}
	return m
}

func types(names []string) (list []byte) {
	for _, n := range names {
		list = append(list, map[string]byte{"i32": I32, "i64": I64}[n])
	}
	return list
}

func with(t *testing.T, m *Module, manifest string) []byte {
	t.Helper()
	wasm, err := abi.AppendManifest(m.Bytes(), []byte(manifest))
	require.NoError(t, err)
	return wasm
}

const manifestOld = `{"id": "door", "version": "1.0.0", "description": "Lets in who knows the word.", "abi": 1,
"hooks": {"authorize": {"fields": ["headers", "path"], "headers": ["authorization"]},
 "guard": {"fields": ["source_ip"], "body": {"mode": "prefix", "max": 4096}}},
"wants": [{"capability": "wasmgate.secret.v1", "reason": "to know the word"}]}`

const manifestNew = `{"id": "door", "version": "1.1.0", "description": "Lets in who knows the word.", "abi": 1,
"config_schema": {"type": "object"},
"hooks": {"authorize": {"fields": ["headers", "path", "query_params", "principal"]},
 "guard": {"fields": ["source_ip"], "body": {"mode": "full", "max": 65536}}, "observe": {"fields": ["status"]}},
"wants": [{"capability": "wasmgate.secret.v1", "reason": "to know the words"}, {"capability": "wasmgate.http.v1", "reason": "to ask home"}]}`

func pages(t *testing.T) map[string][]byte {
	older := module([]abi.Hook{abi.HookAuthorize, abi.HookGuard}, "wasmgate.secret.v1 get", "wasmgate.log.v1 write")
	newer := module([]abi.Hook{abi.HookAuthorize, abi.HookGuard, abi.HookObserve}, "wasmgate.secret.v1 get", "wasmgate.http.v1 call", "wasi_snapshot_preview1 sched_yield")
	newer.Custom("\x1b]0;owned\x07\u202egnp.exe", []byte("x"))
	newer.Data(2000, []byte("more"))
	filter := &Module{Memories: [][2]int{{1, 1}}}
	for _, name := range []string{"proxy_log", "proxy_http_call", "proxy_get_buffer_bytes", "proxy_send_everything"} {
		filter.Import("env", name, Sig(nil, nil))
	}
	filter.Export("proxy_abi_version_0_2_1", filter.Func(Sig(nil, nil), nil))
	filter.Export("proxy_on_request_headers", filter.Func(Sig(nil, nil), nil))
	handler := &Module{Memories: [][2]int{{1, 1}}}
	handler.Import("http_handler", "get_header_values", Sig(nil, nil))
	handler.Export("handle_request", handler.Func(Sig(nil, nil), nil))
	handler.Export("handle_response", handler.Func(Sig(nil, nil), nil))
	liar := module([]abi.Hook{abi.HookGuard}, "wasmgate.kv.v1 set", "evil.v1 take", "env abort")
	endless := module(nil)
	endless.Start = 1 + endless.Func(Sig(nil, nil), nil, Loop(Empty, Br(0)))
	return map[string][]byte{
		"old": with(t, older, manifestOld), "new": with(t, newer, manifestNew), "bare": module([]abi.Hook{abi.HookMapResponse}).Bytes(),
		"proxy-wasm": filter.Bytes(), "http-wasm": handler.Bytes(), "liar": with(t, liar, manifestOld),
		"nothing": nil, "text": []byte("\x1b[2J not Wasm"), "cut": with(t, older, manifestOld)[:100],
		"memory64": []byte("\x00asm\x01\x00\x00\x00\x05\x03\x01\x04\x01"), "start": endless.Bytes(),
		"twice": append(with(t, older, manifestOld), with(t, older, manifestOld)[8:]...),
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "run with -update when this is meant")
}

func TestPages(t *testing.T) {
	for name, wasm := range pages(t) {
		page := inspect.Read(wasm, foreign())
		var out bytes.Buffer
		require.NoError(t, inspect.WriteText(&out, name, page))
		golden(t, name+".txt", out.Bytes())
		harmless(t, out.String())
		data, err := json.MarshalIndent(page, "", "  ")
		require.NoError(t, err)
		golden(t, name+".json", append(data, '\n'))
	}
}

// harmless wants no byte that a terminal obeys.
func harmless(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && (r < ' ' || r == 0x7f || r == '\u202e') {
			t.Errorf("control character %q in %q", r, text)
		}
	}
}

func TestDiff(t *testing.T) {
	all := pages(t)
	older, newer := inspect.Read(all["old"], foreign()), inspect.Read(all["new"], foreign())
	older.Cases = []inspect.Case{{File: "a.json", Name: "in", OK: true, Fuel: 100}}
	newer.Cases = []inspect.Case{{File: "a.json", Name: "in", OK: true, Fuel: 120}}
	var out bytes.Buffer
	require.NoError(t, inspect.WriteDiff(&out, inspect.Compare(older, newer)))
	golden(t, "diff.txt", out.Bytes())
	out.Reset()
	require.NoError(t, inspect.WriteDiff(&out, inspect.Compare(newer, older)))
	golden(t, "diff-back.txt", out.Bytes())
	for name, wasm := range all {
		d := inspect.Compare(inspect.Read(wasm, foreign()), inspect.Read(wasm, foreign()))
		data, err := json.Marshal(d)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf(`{"old":%q,"new":%[1]q,"new_powers":[],"removed_powers":[],"new_hooks":[],"removed_hooks":[],"widened":[],"narrowed":[],"new_wants":[],"removed_wants":[],"changed":[]}`, d.Old), string(data), name)
	}
}

// Every way in which a mask can grow is told, and no way in which it cannot.
func TestWidenedMasks(t *testing.T) {
	page := func(mask string) *inspect.Page {
		manifest := `{"id": "m", "version": "1", "abi": 1, "hooks": {"guard": ` + mask + `}}`
		return inspect.Read(with(t, module([]abi.Hook{abi.HookGuard}), manifest), foreign())
	}
	for _, c := range []struct{ old, now, widened, narrowed string }{
		{`{}`, `{"fields": ["headers"]}`, "guard: all headers", ""},
		{`{"fields": ["headers"], "headers": ["a"]}`, `{"fields": ["headers"]}`, "guard: all headers", "guard: headers a"},
		{`{"fields": ["headers"], "headers": ["a"]}`, `{"fields": ["headers"], "headers": ["a", "cookie"]}`, "guard: headers cookie", ""},
		{`{"fields": ["headers"]}`, `{"fields": ["headers"], "headers": ["a"]}`, "", "guard: all headers"},
		{`{"fields": ["query_params"], "query_params": ["a"]}`, `{"fields": ["query_params"], "query_params": ["b"]}`, "guard: query parameters b", "guard: query parameters a"},
		{`{}`, `{"fields": ["source_ip"]}`, "guard: address of the client", ""},
		{`{}`, `{"body": {"mode": "prefix", "max": 10}}`, "guard: body its first 10 bytes, was none", ""},
		{`{"body": {"mode": "prefix", "max": 10}}`, `{"body": {"mode": "prefix", "max": 11}}`, "guard: body its first 11 bytes, was its first 10 bytes", ""},
		{`{"body": {"mode": "full", "max": 10}}`, `{"body": {"mode": "prefix", "max": 10}}`, "", "guard: body whole, of up to 10 bytes, was its first 10 bytes"},
	} {
		d := inspect.Compare(page(c.old), page(c.now))
		narrowed := strings.Join(d.Narrowed, "; ")
		if c.narrowed == "guard: headers a" { // it sees them still, among all
			c.narrowed = ""
		}
		assert.Equal(t, c.widened, strings.Join(d.Widened, "; "), "%s -> %s", c.old, c.now)
		assert.Equal(t, c.narrowed, narrowed, "%s -> %s", c.old, c.now)
	}
}

// Whatever the bytes, a page comes in bounded time and its text is harmless.
func TestHostileModules(t *testing.T) {
	var seeds [][]byte
	for _, wasm := range pages(t) {
		seeds = append(seeds, wasm)
	}
	slices.SortFunc(seeds, bytes.Compare)
	random := rand.New(rand.NewPCG(1, 2))
	began := time.Now()
	for range 3000 {
		wasm := bytes.Clone(seeds[random.IntN(len(seeds))])
		for range 1 + random.IntN(6) {
			if len(wasm) > 0 {
				wasm[random.IntN(len(wasm))] = byte(random.Uint32())
			}
		}
		shown(t, wasm)
	}
	require.Less(t, time.Since(began), time.Minute)
	// Few bytes that declare much.
	empty := "\x00asm\x01\x00\x00\x00"
	for _, wasm := range []string{
		empty + strings.Repeat("\x00\x01\x00", 1<<20),
		empty + "\x07\xff\xff\xff\xff\x0f" + strings.Repeat("x", 100),
		empty + "\x02\x06\xff\xff\xff\xff\x0f\x00", empty + "\x05\x06\xff\xff\xff\xff\x0f\x00", empty + "\x04\x06\xff\xff\xff\xff\x0f\x70",
		empty + "\x05\x0d\x01\x01\xff\xff\xff\xff\x0f\xff\xff\xff\xff\x0f\x00",
		empty + "\x00\x06\xff\xff\xff\xff\x0f\x00",
	} {
		shown(t, []byte(wasm))
	}
}

func shown(t testing.TB, wasm []byte) {
	page := inspect.Read(wasm, foreign())
	var out bytes.Buffer
	require.NoError(t, inspect.WriteText(&out, "x", page))
	for _, r := range out.String() {
		if r != '\n' && (r < ' ' || r == 0x7f) {
			t.Fatalf("control character %q from module %x", r, wasm)
		}
	}
	if _, err := json.Marshal(page); err != nil {
		t.Fatal(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x00\x05\x04name"))
	f.Add(module([]abi.Hook{abi.HookGuard}, "wasmgate.kv.v1 get").Bytes())
	f.Fuzz(func(t *testing.T, wasm []byte) { shown(t, wasm) })
}
