package guest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
	"github.com/wasmgate/wasmgate/host/model"
)

const hook = abi.HookGuard

// ifByte runs code when the first byte of the request's id is 1; the id stands after the
// header and three entries.
func whenAsked(code ...[]byte) []byte {
	return Cat(I32Const(scratchAt+16+3*12), []byte{0x2d, 0, 0}, If(Empty, code...))
}

// picky asks the guest to misbehave, or not to.
type picky struct {
	ask
	evil byte
}

func (p *picky) Encode(scratch []byte) (int, error) {
	var w abi.Writer[abi.Field]
	w.Start(scratch, p.hook, 3)
	w.Bytes(abi.FieldRequestID, []byte{p.evil})
	w.Uint(abi.FieldTimeMS, 1)
	w.Uint(abi.FieldSeed, 2)
	return w.Finish()
}

func grow(pages int64) []byte { return Cat(I32Const(pages), MemoryGrow) }

// hostile is what a guest may do in a call, and what that call gets.
var hostile = map[string]struct {
	code func(m *Module) []byte
	want guest.Kind
	text string
}{
	"endless loop":       {func(*Module) []byte { return Loop(Empty, Br(0)) }, guest.KindFuel, "fuel"},
	"endless recursion":  {func(m *Module) []byte { return Call(m.Func(Sig(nil, nil), nil, Call(m.Next()))) }, guest.KindStack, "too deeply"},
	"recursion by table": {tableRecursion, guest.KindStack, "too deeply"},
	"memory bomb": {func(*Module) []byte {
		return Loop(Empty, grow(16), I32Const(-1), []byte{0x47}, BrIf(0), Unreachable)
	}, guest.KindMemory, "memory cap"},
	"memory touched": {func(*Module) []byte {
		return Cat(grow(32), Drop, Loop(Empty, I32Const(0), I32Const(7), I32Const(33<<16), MemoryFill, Br(0)))
	}, guest.KindFuel, "fuel"},
	"growth by page":     {func(*Module) []byte { return Loop(Empty, grow(1), Drop, Br(0)) }, guest.KindFuel, "fuel"},
	"table bomb":         {func(*Module) []byte { return Loop(Empty, RefNull, I32Const(1), TableGrow, Drop, Br(0)) }, guest.KindFuel, "fuel"},
	"table bomb at once": {func(*Module) []byte { return Cat(RefNull, I32Const(1<<30), TableGrow, Drop, Unreachable) }, guest.KindTrap, "unreachable"},
	"references":         {func(m *Module) []byte { return Loop(Empty, RefFunc(0), Drop, Br(0)) }, guest.KindFuel, "fuel"},
	"division by zero":   {func(*Module) []byte { return Cat(I32Const(1), I32Const(0), []byte{0x6d}, Drop) }, guest.KindTrap, "divide by zero"},
	"wild load":          {func(*Module) []byte { return Cat(I32Const(-8), I32Load(0), Drop) }, guest.KindTrap, "out of bounds"},
	"named function":     {func(m *Module) []byte { return Call(m.Func(Sig(nil, nil), nil, Unreachable)) }, guest.KindTrap, "parse_token"},
	"result outside":     {func(*Module) []byte { return Cat(packed(0xffffff00, 64), Return) }, guest.KindResult, "outside the memory"},
	"result at the edge": {func(*Module) []byte { return Cat(packed(0xffff, 2), Return) }, guest.KindResult, "outside the memory"},
	"result too long":    {func(*Module) []byte { return Cat(packed(0, 1<<20+1), Return) }, guest.KindResult, "want at most"},
	"result of -1":       {func(*Module) []byte { return Cat(I64Const(-1), Return) }, guest.KindResult, "want at most"},
	"result of zeros":    {func(*Module) []byte { return Cat(packed(0, 64), Return) }, guest.KindResult, ""},
	"request as result":  {func(*Module) []byte { return Cat(packed(scratchAt, 100), Return) }, guest.KindResult, ""},
	"record of another hook": {func(m *Module) []byte {
		m.Data(512, emptyResult(abi.HookObserve))
		return Cat(packed(512, 16), Return)
	}, guest.KindResult, ""},
	"count that lies": {func(m *Module) []byte {
		b := emptyResult(hook)
		b[6] = 0xff
		m.Data(512, b)
		return Cat(packed(512, 16), Return)
	}, guest.KindResult, ""},
}

func tableRecursion(m *Module) []byte {
	m.Tables = [][2]int{{4, 1 << 30}}
	f := m.Func(Sig(nil, nil), nil, I32Const(0), CallIndirect(m.Type(Sig(nil, nil))))
	m.Elements(0, f)
	return Call(f)
}

func hostileModule(code func(m *Module) []byte) []byte {
	m := &Module{Memories: [][2]int{{1, -1}}, Tables: [][2]int{{4, -1}}}
	contract(m)
	body := code(m)
	m.Data(256, emptyResult(hook))
	m.Names("parse_token", "parse_token", "parse_token", "parse_token")
	m.Export(hook.Export(), m.Func(hookType, nil, whenAsked(body), packed(256, 16)))
	return m.Bytes()
}

func TestHostileCalls(t *testing.T) {
	e := newEngine(t, guest.Options{})
	for name, c := range hostile {
		t.Run(name, func(t *testing.T) {
			p := bind(t, e, hostileModule(c.code), guest.Binding{Memory: 4 << 20, Fuel: 5_000_000})
			good := func() {
				used, err := p.Call(context.Background(), hook, &picky{ask: ask{hook: hook}})
				require.NoError(t, err)
				require.Less(t, used, uint64(100))
			}
			good()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err := p.Call(context.Background(), hook, &picky{ask{hook: hook}, 1})
			require.Less(t, time.Since(began), 20*time.Second)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(80<<20))
			var fault *guest.Error
			require.ErrorAs(t, err, &fault)
			require.Equal(t, c.want, fault.Kind, "%v", err)
			require.ErrorContains(t, err, c.text)
			require.Equal(t, hook, fault.Hook)
			require.Equal(t, "test", fault.Plugin)
			good()
			total, idle := p.Stats()
			require.Equal(t, 1, total)
			require.Equal(t, 1, idle)
		})
	}
}

func TestTrappedInstanceIsNotUsedAgain(t *testing.T) {
	// The guest counts its calls in memory, so a new instance begins at one.
	m := plugin(hook, nil,
		I32Const(8), I32Const(8), I32Load(0), I32Const(1), I32Add, I32Store(0),
		whenAsked(Unreachable),
		I32Const(256), I32Const(8), I32Load(0), I32Store(12), // in the header's last word
		packed(256, 16))
	m.Data(256, emptyResult(hook))
	p := bind(t, newEngine(t, guest.Options{}), m.Bytes(), guest.Binding{})
	count := func(evil byte) int {
		seen := 0
		_, err := p.Call(context.Background(), hook, &reading{picky{ask{hook: hook}, evil}, &seen})
		if evil == 0 {
			require.NoError(t, err)
		}
		return seen
	}
	require.Equal(t, 1, count(0))
	require.Equal(t, 2, count(0))
	count(1)
	require.Equal(t, 1, count(0))
}

type reading struct {
	picky
	seen *int
}

func (r *reading) Decode(b []byte) error {
	*r.seen = int(binary.LittleEndian.Uint32(b[12:]))
	return nil
}

func TestHostileModules(t *testing.T) {
	e := newEngine(t, guest.Options{})
	valid := plugin(hook, nil, I64Const(0)).Bytes()
	with := func(change func(m *Module)) []byte {
		m := plugin(hook, nil, I64Const(0))
		change(m)
		return m.Bytes()
	}
	for name, c := range map[string]struct {
		wasm []byte
		kind guest.Kind
		text string
	}{
		"empty":           {nil, guest.KindModule, "not a"},
		"garbage":         {[]byte(strings.Repeat("garbage", 100)), guest.KindModule, "not a"},
		"100 MB":          {make([]byte, 100<<20), guest.KindModule, "want at most"},
		"truncated":       {valid[:len(valid)/2], guest.KindModule, ""},
		"cut by one":      {valid[:len(valid)-1], guest.KindModule, ""},
		"no contract":     {(&Module{}).Bytes(), guest.KindModule, "wg_abi_v1"},
		"hook of no kind": {with(func(m *Module) { m.Export("wg_fly", 0) }), guest.KindModule, "wg_fly"},
		"two exports":     {with(func(m *Module) { m.Export("x", 0); m.Export("x", 1) }), guest.KindModule, "twice"},
		"reserved":        {with(func(m *Module) { m.Export("wasmgate.fuel", 0) }), guest.KindModule, "reserved"},
		"hook of a type":  {with(func(m *Module) { m.Export(abi.HookObserve.Export(), 0) }), guest.KindModule, "wg_observe"},
		"shared memory":   {with(func(m *Module) { m.Memories = append(m.Memories, [2]int{1, 1}) }), guest.KindModule, "memories"},
		"table of 4G":     {with(func(m *Module) { m.Tables = [][2]int{{1 << 31, -1}} }), guest.KindModule, "table size"},
		"types that lie":  {Section([]byte("\x00asm\x01\x00\x00\x00"), 1, U(1<<31)), guest.KindModule, ""},
		"ill typed":       {with(func(m *Module) { m.Func(Sig(nil, T(I32)), nil, I64Const(1)) }), guest.KindModule, ""},
		"global that traps the fuel": {with(func(m *Module) {
			m.Global(I64, true, I64Const(0)...)
			m.Func(Sig(nil, nil), nil, I64Const(1), GlobalSet(1))
		}), guest.KindModule, "global index"},
		"local of the host's": {with(func(m *Module) { m.Func(Sig(nil, nil), nil, I32Const(1), LocalSet(0)) }), guest.KindModule, "local index"},
		"many locals":         {with(func(m *Module) { m.Func(Sig(nil, nil), make([]byte, 20000)) }), guest.KindModule, ""},
		"manifest no JSON":    {with(func(m *Module) { m.Custom(abi.ManifestSection, []byte("{")) }), guest.KindModule, "manifest"},
		"unknown power":       {importing("wasmgate.fs.v1", "read", nil, nil), guest.KindModule, "wasmgate.fs.v1"},
		"unknown module":      {importing("env", "abort", nil, nil), guest.KindImport, `"env" "abort"`},
		"unknown WASI":        {importing("wasi_snapshot_preview1", "fly", nil, nil), guest.KindImport, "fly"},
		"power of a type":     {importing("wasmgate.log.v1", "write", T(I32), nil), guest.KindImport, "(i32) -> ()"},
		"WASI of a type":      {importing("wasi_snapshot_preview1", "fd_write", T(I32), T(I32)), guest.KindImport, "fd_write"},
		"memory of another":   {with(func(m *Module) { *m = Module{}; m.ImportRaw("env", "memory", 2, 0, 1); contract(m) }), guest.KindModule, "memory"},
		"global of another": {with(func(m *Module) {
			*m = Module{}
			m.ImportRaw("env", "g", 3, I32, 1)
			m.Memories = [][2]int{{1, 1}}
			contract(m)
		}), guest.KindModule, "global"},
		"atomic instructions": {with(func(m *Module) { m.Func(Sig(nil, nil), nil, []byte{0xfe, 0x03, 0x00}) }), guest.KindModule, "0xfe"},
		"tail call":           {with(func(m *Module) { m.Func(Sig(nil, nil), nil, []byte{0x12, 0}) }), guest.KindModule, "0x12"},
		"custom section bomb": {append(bytes.Clone(valid), 0, 0xff, 0xff, 0xff, 0xff, 0x0f), guest.KindModule, ""},
		"nested without end":  {with(func(m *Module) { m.Func(Sig(nil, nil), nil, bytes.Repeat([]byte{0x02, 0x40}, 1<<17)) }), guest.KindModule, ""},
		"takes a minute to compile": {with(func(m *Module) {
			var open, shut []byte
			for i := range 1000 {
				open = Cat(open, []byte{3, Empty}, LocalGet(i), I32Const(1), I32Add, LocalTee(i), Drop)
				shut = Cat(shut, LocalGet(i), BrIf(0), End)
			}
			m.Func(Sig(nil, nil), bytes.Repeat([]byte{I32}, 1000), open, shut)
		}), guest.KindModule, "too complex"},
		"scratch of two types": {func() []byte {
			m := &Module{Memories: [][2]int{{1, 1}}}
			f := m.Func(Sig(nil, nil), nil)
			m.Export(abi.Marker, f)
			m.Export(abi.Scratch, f)
			m.ExportRaw("memory", 2, 0)
			return m.Bytes()
		}(), guest.KindModule, "wg_scratch"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			m, err := e.Compile(context.Background(), "evil", c.wasm)
			require.Nil(t, m)
			require.Less(t, time.Since(began), 20*time.Second)
			var fault *guest.Error
			require.ErrorAs(t, err, &fault)
			require.Equal(t, c.kind, fault.Kind, "%v", err)
			require.ErrorContains(t, err, c.text)
			require.ErrorContains(t, err, `plugin "evil"`)
		})
	}
	m, err := e.Compile(context.Background(), "good", valid)
	require.NoError(t, err)
	m.Release()
}

// importing is a plugin that imports one function.
func importing(module, name string, params, results []byte) []byte {
	m := &Module{Memories: [][2]int{{1, 1}}}
	m.Import(module, name, Sig(params, results))
	contract(m)
	return m.Bytes()
}

func TestHostileStarts(t *testing.T) {
	loop := Loop(Empty, Br(0))
	for name, c := range map[string]struct {
		change func(m *Module)
		kind   guest.Kind
	}{
		"start function that loops":  {func(m *Module) { m.Start = m.Func(Sig(nil, nil), nil, loop) + 1 }, guest.KindFuel},
		"_initialize that loops":     {func(m *Module) { m.Export("_initialize", m.Func(Sig(nil, nil), nil, loop)) }, guest.KindFuel},
		"_initialize that traps":     {func(m *Module) { m.Export("_initialize", m.Func(Sig(nil, nil), nil, Unreachable)) }, guest.KindTrap},
		"configure that loops":       {func(m *Module) { m.Export("wg_configure", m.Func(hookType, nil, loop, I64Const(0))) }, guest.KindFuel},
		"configure that recurses":    {func(m *Module) { f := m.Next(); m.Export("wg_configure", m.Func(hookType, nil, I32Const(0), Call(f))) }, guest.KindStack},
		"configure of wild pointers": {func(m *Module) { m.Export("wg_configure", m.Func(hookType, nil, I64Const(-1))) }, guest.KindResult},
		"data outside the memory":    {func(m *Module) { m.Data(1<<20, []byte("x")) }, guest.KindModule},
		"memory over the cap":        {func(m *Module) { m.Memories = [][2]int{{20000, -1}} }, guest.KindMemory},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, guest.Options{})
			m := plugin(hook, nil, I64Const(0))
			c.change(m)
			mod, err := e.Compile(context.Background(), "evil", m.Bytes())
			require.NoError(t, err)
			defer mod.Release()
			began := time.Now()
			_, err = e.Bind(context.Background(), mod, guest.Binding{Name: "evil"})
			require.Less(t, time.Since(began), 20*time.Second)
			var fault *guest.Error
			require.ErrorAs(t, err, &fault)
			require.Equal(t, c.kind, fault.Kind, "%v", err)
		})
	}
}

func TestScratchOutside(t *testing.T) {
	for _, area := range []int64{-1, 0xffff<<32 | 2, 1<<52 | 16} {
		m := &Module{Memories: [][2]int{{1, 1}}}
		m.ExportRaw("memory", 2, 0)
		m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
		m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(area)))
		e := newEngine(t, guest.Options{})
		mod, err := e.Compile(context.Background(), "evil", m.Bytes())
		require.NoError(t, err)
		_, err = e.Bind(context.Background(), mod, guest.Binding{Name: "evil"})
		require.ErrorContains(t, err, "outside the memory")
		mod.Release()
	}
}

func TestRecordThatDoesNotFit(t *testing.T) {
	p := bind(t, newEngine(t, guest.Options{}), plugin(hook, nil, I64Const(0)).Bytes(), guest.Binding{})
	_, err := p.Call(context.Background(), hook, &ask{hook: hook, size: scratchSize})
	var fault *guest.Error
	require.ErrorAs(t, err, &fault)
	require.Equal(t, guest.KindScratch, fault.Kind)
	var room *abi.NoRoomError
	require.ErrorAs(t, err, &room)
	_, err = p.Call(context.Background(), hook, &ask{hook: hook})
	require.NoError(t, err)
}

func TestDecodeErrorIsKept(t *testing.T) {
	p := bind(t, newEngine(t, guest.Options{}), plugin(hook, nil, I64Const(0)).Bytes(), guest.Binding{})
	wanted := errors.New("no")
	_, err := p.Call(context.Background(), hook, &ask{hook: hook, failed: wanted})
	require.ErrorIs(t, err, wanted)
}

func TestUngrantedPowers(t *testing.T) {
	e := newEngine(t, guest.Options{})
	all := model.Grants{HTTP: []string{"x"}, KV: []string{"x"}, Secrets: []string{"x"}, JWKS: []string{"x"}}
	for c := range abi.Capabilities() {
		types := func(names []string) (out []byte) {
			for _, n := range names {
				out = append(out, map[string]byte{"i32": I32, "i64": I64}[n])
			}
			return out
		}
		mod, err := e.Compile(context.Background(), "p", importing(c.Module(), c.Name(), types(c.Params()), types(c.Results())))
		require.NoError(t, err)
		require.Equal(t, []string{c.String()}, mod.Imports())
		p, err := e.Bind(context.Background(), mod, guest.Binding{Name: "p"})
		if c.Grant() != "" {
			require.ErrorContains(t, err, c.Name())
			require.ErrorContains(t, err, c.Grant())
			p, err = e.Bind(context.Background(), mod, guest.Binding{Name: "p", Grants: all})
		}
		require.NoError(t, err)
		p.Close()
		mod.Release()
	}
}
