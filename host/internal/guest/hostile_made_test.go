package guest_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

const preamble = "\x00asm\x01\x00\x00\x00"

// raw sections behind a plugin's own; those of one id twice, or out of order, are refused.
func behind(id byte, content []byte) []byte {
	return Section(plugin(hook, nil, I64Const(0)).Bytes(), id, content)
}

func alone(id byte, content ...[]byte) []byte {
	return Section([]byte(preamble), id, Cat(content...))
}

// with is a plugin with something more.
func with(change func(m *Module)) []byte {
	m := plugin(hook, nil, I64Const(0))
	change(m)
	return m.Bytes()
}

// function is a plugin with one function more, which nobody calls.
func function(locals []byte, code ...[]byte) []byte {
	return with(func(m *Module) { m.Func(Sig(nil, nil), locals, code...) })
}

func times(n int, b ...[]byte) []byte { return bytes.Repeat(Cat(b...), n) }

// made are modules that no text format writes, or that are too long to be written by hand:
// the start of the exact outcome, which may name an offset behind it.
func made() map[string]struct {
	wasm []byte
	want string
} {
	const module = `plugin "evil": module: `
	const rewrite = module + "rewrite module: "
	overlong := []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x00}
	overflow := []byte{0xff, 0xff, 0xff, 0xff, 0x7f}
	leb := func(b []byte) []byte { return append([]byte(preamble+"\x01"), b...) }
	return map[string]struct {
		wasm []byte
		want string
	}{
		"nothing":                   {nil, module + "inspect module: not a Wasm module of version 1"},
		"only the magic":            {[]byte(preamble)[:4], module + "inspect module: not a Wasm module of version 1"},
		"another version":           {[]byte("\x00asm\x02\x00\x00\x00"), module + "inspect module: not a Wasm module of version 1"},
		"a component":               {[]byte("\x00asm\x0d\x00\x01\x00"), module + "inspect module: not a Wasm module of version 1"},
		"length over 32 bits":       {leb(overflow), module + "inspect module: section 1 is cut off"},
		"length of six bytes":       {leb(overlong), module + "inspect module: section 1 is cut off"},
		"length of 4 GiB":           {leb([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}), module + "inspect module: section 1 is cut off"},
		"length cut off":            {leb([]byte{0x80}), module + "inspect module: section 1 is cut off"},
		"too long":                  {make([]byte, 8<<20+1), module + "module is 8388609 bytes, want at most 8388608"},
		"section unknown":           {behind(77, nil), rewrite + "offset"},
		"sections in disorder":      {behind(3, U(0)), rewrite + "offset"},
		"section twice":             {behind(10, U(0)), rewrite + "offset"},
		"imports twice":             {Section(alone(2, U(0)), 2, U(0)), module + "check module: it does not export the function"},
		"exports without end":       {alone(7, U(1<<32-1)), module + "inspect module: section 7: 4294967295 exports, want at most 16384"},
		"imports without end":       {alone(2, U(1<<32-1)), module + "inspect module: section 2: 4294967295 imports, want at most 1024"},
		"name of 4 GiB":             {alone(7, U(1), U(1<<32-1)), module + "inspect module: section 7: 4294967295 bytes of a name, want at most 1024"},
		"import of no kind":         {alone(2, U(1), Name("a"), Name("b"), []byte{9}), module + "inspect module: section 2: unknown import kind 9"},
		"10^5 types":                {with(func(m *Module) { manyTypes(m, 100_000) }), rewrite + "type section: offset 3: 100003 types, want at most 16384"},
		"10^5 empty functions":      {with(func(m *Module) { manyFunctions(m, 100_000) }), "served"},
		"10^6 functions of nothing": {alone(3, U(1_000_000), make([]byte, 1_000_000)), module + "check module: it does not export the function"},
		"10^5 locals":               {function(bytes.Repeat([]byte{I32}, 100_000)), rewrite + "code section: function 3: offset 3: 100000 declarations of locals, want at most 10000"},
		"4 G locals in a few bytes": {with(func(m *Module) { m.FuncRaw(Sig(nil, nil), Cat(U(1), U(1<<32-1), []byte{I32}, End)) }), rewrite + "code section: function 3: offset 7: 4294967295 more locals, want at most 10000"},
		"10^5 globals":              {with(func(m *Module) { manyGlobals(m, 100_000) }), rewrite + "global section: offset 3: 100000 globals, want at most 4096"},
		"10^5 exports":              {with(func(m *Module) { manyExports(m, 100_000) }), module + "inspect module: section 7: 100004 exports, want at most 16384"},
		"10^5 imports":              {with(func(m *Module) { manyImports(m, 100_000) }), module + "inspect module: section 2: 100000 imports, want at most 1024"},
		"10^5 parameters":           {with(func(m *Module) { m.Func(Sig(bytes.Repeat([]byte{I32}, 100_000), nil), nil) }), rewrite + "type section: offset 17: 100000 parameters, want at most 256"},
		"10^5 results":              {with(func(m *Module) { m.Func(Sig(nil, bytes.Repeat([]byte{I32}, 100_000)), nil, Unreachable) }), rewrite + "type section: offset 18: 100000 results, want at most 16"},
		"giant br_table":            {function(nil, Block(Empty, I32Const(0), BrTable(make([]int, 5_000_000)...))), rewrite + "code section: offset 24: 5000012 bytes of code, want at most 4194304"},
		"br_table of many":          {function(nil, Block(Empty, I32Const(0), BrTable(make([]int, 1_000_000)...))), rewrite + "code section: function 3: 0 locals, 4 events of control: too complex to compile"},
		"nested blocks":             {function(nil, times(100_000, []byte{2, Empty}), times(100_000, End)), rewrite + "code section: function 3: offset 131075: blocks nest deeper than 65536"},
		"blocks side by side":       {function(nil, times(50_000, []byte{2, Empty}, End)), rewrite + "code section: function 3: 0 locals, 100001 events of control: too complex to compile"},
		"nested loops":              {function(nil, times(5_000, []byte{3, Empty}), times(5_000, End)), rewrite + "code section: function 3: 0 locals, 10001 events of control: too complex to compile"},
		"else without if":           {function(nil, Block(Empty, Else)), rewrite + "code section: function 3: offset 4: else without if"},
		"code behind the end":       {function(nil, End, Nop), rewrite + "code section: function 3: offset 2: instructions after the end"},
		"code without an end":       {function(nil, []byte{2, Empty}), rewrite + "code section: function 3: offset 4: unexpected end"},
		"label of nowhere":          {function(nil, Br(7)), rewrite + "code section: function 3: offset 3: label index 7, want less than 1"},
		"opcode of two bytes":       {function(nil, []byte{0xfc, 0x80, 0x00}), rewrite + "code section: function 3: offset 4: unknown opcode, or not in its shortest form"},
		"vector of another spelling": {function(nil, []byte{0xfd, 0x80, 0x80, 0x00}),
			rewrite + "code section: function 3: offset 4: unknown opcode, or not in its shortest form"},
		"memory by another number": {function(nil, []byte{0x3f, 0x80, 0x00}, Drop), rewrite + "code section: function 3: offset 3: memory index 0x80, want 0 of one memory"},
		"types of select":          {function(nil, []byte{0x1c, 0xff, 0xff, 0xff, 0xff, 0x0f}), rewrite + "code section: function 3: offset 7: 4294967295 types of select do not fit in 1 bytes"},
		"data of 4 GiB":            {behind(11, Cat(U(1), []byte{0}, I32Const(0), End, U(1<<32-1))), rewrite + "data section: offset 10: 4294967295 bytes of data do not fit in 0 bytes"},
		"10^5 data segments":       {with(func(m *Module) { manyData(m, 100_001) }), rewrite + "data section: offset 3: 100001 data segments, want at most 100000"},
		"data segments of 4 G":     {behind(11, U(1<<32-1)), rewrite + "data section: offset 5: 4294967295 data segments do not fit in 0 bytes"},
		"data that is not counted": {with(func(m *Module) { m.Func(Sig(nil, nil), nil, []byte{0xfc, 9, 0}) }), rewrite + "code section: function 3: offset 4: data segment index 0, want less than 0"},
		"elements without end":     {with(func(m *Module) { m.Tables = [][2]int{{1, 1}}; m.Elements(0, make([]int, 300_000)...) }), rewrite + "element section: offset 8: 300000 elements, want at most 262144"},
		"element of nobody":        {with(func(m *Module) { m.Tables = [][2]int{{1, 1}}; m.Elements(0, 4000) }), rewrite + "element section: offset 8: function index 4000, want less than 3"},
		"custom section flood":     {append(with(func(*Module) {}), times(2000, Section(nil, 0, Name("x")))...), module + "inspect module: more than 1024 sections"},
		"custom section cut off":   {append(with(func(*Module) {}), 0, 0xff, 0xff, 0xff, 0xff, 0x0f), module + "inspect module: section 0 is cut off"},
		"custom section of MiB":    {with(func(m *Module) { m.Custom("x", make([]byte, 7<<20)) }), "served"},
		"names without end":        {with(func(m *Module) { m.Custom("name", Cat([]byte{1}, U(1<<20), U(1<<32-1), make([]byte, 1<<20))) }), "served"},
		"names of many":            {with(func(m *Module) { m.Names(many(100_000)...) }), "served"},
		"names that lie":           {with(func(m *Module) { m.Custom("name", Cat([]byte{1, 6, 1, 0, 4}, []byte("\xff\xfe\xfd\xfc"))) }), "served"},
		"names in a name":          {with(func(m *Module) { m.Names(strings.Repeat("n", 1<<20)) }), "served"},
		"two manifests": {with(func(m *Module) {
			m.Custom(abi.ManifestSection, []byte(`{}`))
			m.Custom(abi.ManifestSection, []byte(`{}`))
		}), module + "read manifest: id: got"},
		"manifest of nested lists": {with(func(m *Module) {
			m.Custom(abi.ManifestSection, []byte(`{"id": `+strings.Repeat("[", 1<<20)))
		}), module + "read manifest: id: "},
		"manifest of another plugin's hooks": {with(func(m *Module) {
			m.Custom(abi.ManifestSection, []byte(`{"id": "x", "version": "1", "abi": 1, "hooks": {"observe": {}}}`))
		}), module + "check module: hook guard: exported as \"wg_guard\": true, listed in the manifest: false"},
		"schema that refers to files": {with(func(m *Module) {
			m.Custom(abi.ManifestSection, []byte(`{"id": "x", "version": "1", "abi": 1, "hooks": {"guard": {}}, "config_schema": {"$ref": "file:///etc/passwd"}}`))
		}), module + "read config schema: "},
	}
}

func manyTypes(m *Module, n int) {
	for i := range n { // each another one
		m.AddType(Sig([]byte{I32, I64, F32, F64}[:i%5], nil))
	}
}

func manyFunctions(m *Module, n int) {
	for range n {
		m.Func(Sig(nil, nil), nil)
	}
}

func manyGlobals(m *Module, n int) {
	for range n {
		m.Global(I32, true, I32Const(0)...)
	}
}

func manyExports(m *Module, n int) {
	for i := range n {
		m.Export(fmt.Sprint(i), 0)
	}
}

func manyImports(m *Module, n int) {
	for i := range n {
		m.Import("env", fmt.Sprint(i), Sig(nil, nil))
	}
}

func manyData(m *Module, n int) {
	for range n {
		m.Data(0, nil)
	}
}

func many(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	return names
}

// TestHostileMade: modules that a program makes.
func TestHostileMade(t *testing.T) {
	a := newArena(t)
	for name, c := range made() {
		t.Run(name, func(t *testing.T) {
			got := a.meet(t, c.wasm)
			require.True(t, strings.HasPrefix(got, c.want), "got  %s\nwant %s", got, c.want)
			require.Less(t, len(got), 4096, "an error of a hostile module is no flood either")
		})
	}
}

// echo is a guest that gives back what stands in the request's id, in the scratch area itself.
func echo(h abi.Hook) []byte {
	m := &Module{Memories: [][2]int{{4, 4}}}
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(1024<<32|128<<10)))
	const entry = 1024 + 16 // of the request's id, the first field: its offset and length
	m.Export(h.Export(), m.Func(hookType, nil,
		I32Const(entry), I32Load(4), I32Const(1024), I32Add, I64FromU, I64Const(32), I64Shl,
		I32Const(entry), I32Load(8), I64FromU, I64Or))
	return m.Bytes()
}

// answering has a guest give bytes as its result.
type answering struct {
	ask
	bytes []byte
}

func (s *answering) Encode(scratch []byte) (int, error) {
	var w abi.Writer[abi.Field]
	w.Start(scratch, s.hook, 1)
	w.Bytes(abi.FieldRequestID, s.bytes)
	return w.Finish()
}

// vector is a record of abi/v1/vectors.
type vector struct{ Name, Kind, Hook, Hex, Refusal string }

func vectors(t *testing.T, name string) (list []vector) {
	t.Helper()
	text, err := os.ReadFile("../../../abi/v1/vectors/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &list))
	return list
}

// TestHostileResults has a guest of each hook give every malformed record of the contract, and
// thousands that are made of the good ones: what is refused costs its call, with the reason,
// and nothing is taken that the contract refuses.
func TestHostileResults(t *testing.T) {
	e := newEngine(t, guest.Options{})
	guests := map[abi.Hook]*guest.Policy{}
	give := func(t *testing.T, h abi.Hook, b []byte) error {
		p := guests[h]
		if p == nil {
			p = bind(t, e, echo(h), guest.Binding{Fuel: 1000})
			guests[h] = p
		}
		_, err := p.Call(t.Context(), h, &answering{ask{hook: h}, b})
		total, idle := p.Stats()
		require.Equal(t, [2]int{1, 1}, [2]int{total, idle}, "a bad result is no trap: the instance lives")
		return err
	}
	count := 0
	check := func(t *testing.T, h abi.Hook, b []byte, refusal string) {
		count++
		err := give(t, h, b)
		if refusal == "" {
			require.NoError(t, err)
			return
		}
		require.EqualError(t, err, fmt.Sprintf("plugin %q: hook %v: result: %s", "test", h, refusal))
	}
	for _, v := range vectors(t, "malformed.json") {
		h, known := abi.HookByName(v.Hook)
		b, err := hex.DecodeString(v.Hex)
		require.NoError(t, err)
		if v.Kind != "result" || !known || len(b) == 0 || h == abi.HookConfigure {
			continue
		}
		_, err = abi.ParseResult(b, h)
		if v.Refusal != "" {
			require.ErrorContains(t, err, v.Refusal)
			check(t, h, b, err.Error())
		}
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for _, v := range vectors(t, "results.json") {
		h, known := abi.HookByName(v.Hook)
		good, err := hex.DecodeString(v.Hex)
		require.NoError(t, err)
		if !known || len(good) == 0 || h == abi.HookConfigure { // called at the start, with no record of ours
			continue
		}
		check(t, h, good, "")
		for range 500 {
			b := mutated(dice, good)
			refusal := ""
			if _, err := abi.ParseResult(b, h); err != nil {
				refusal = err.Error()
			}
			check(t, h, b, refusal)
		}
	}
	require.Greater(t, count, 3000)
}

// mutated is a record with a few bytes changed, cut off or repeated; never an empty one.
func mutated(dice *rand.Rand, good []byte) []byte {
	b := bytes.Clone(good)
	for range 1 + dice.IntN(3) {
		i := dice.IntN(len(b))
		switch dice.IntN(6) {
		case 0:
			b[i] = byte(dice.Uint32())
		case 1:
			b[i] ^= 1 << dice.IntN(8)
		case 2:
			b[i] = 0xff
		case 3:
			binary.LittleEndian.PutUint32(append(b, 0, 0, 0, 0)[i:], dice.Uint32()>>dice.IntN(32))
		case 4:
			b = b[:i+1]
		case 5:
			b = append(b, b[i:]...)
		}
	}
	return b
}

// TestNoScratch: a guest that has no room for a request gets none, and the operator is told.
func TestNoScratch(t *testing.T) {
	cases, err := Cases("testdata/hostile/good.txtar")
	require.NoError(t, err)
	m := &Module{Memories: [][2]int{{1, 1}}}
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(64<<10<<32))) // at the end of memory, of length 0
	m.Export(hook.Export(), m.Func(hookType, nil, I64Const(0)))
	e := newEngine(t, guest.Options{})
	p := bind(t, e, m.Bytes(), guest.Binding{})
	_, err = p.Call(t.Context(), hook, &picky{ask: ask{hook: hook}})
	require.EqualError(t, err, `plugin "test": hook guard: scratch: write record: it has 69 bytes, the buffer 0`)
	_, err = bind(t, e, cases[0].Wasm, guest.Binding{}).Call(t.Context(), hook, &picky{ask: ask{hook: hook}})
	require.NoError(t, err)
}
