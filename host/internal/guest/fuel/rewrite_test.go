package fuel_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasmgate/wasmgate/host/internal/guest/fuel"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// machine runs a rewritten module.
type machine struct {
	api.Module
	fuel, stack api.MutableGlobal
}

func run(t testing.TB, wasm []byte, o fuel.Options) *machine {
	t.Helper()
	out, err := fuel.Rewrite(wasm, o)
	require.NoError(t, err)
	m := &machine{Module: instantiate(t, out)}
	m.fuel = m.ExportedGlobal(fuel.Global).(api.MutableGlobal)
	m.stack = m.ExportedGlobal(fuel.StackGlobal).(api.MutableGlobal)
	return m
}

func instantiate(t testing.TB, wasm []byte) api.Module {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(256))
	t.Cleanup(func() { require.NoError(t, r.Close(ctx)) })
	_, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func(v uint32) uint32 { return v * 3 }).Export("triple").Instantiate(ctx)
	require.NoError(t, err)
	mod, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions())
	require.NoError(t, err)
	return mod
}

// call calls with a budget and gives the results and what was used.
func (m *machine) call(budget uint64, name string, args ...uint64) ([]uint64, int64, error) {
	m.fuel.Set(budget)
	m.stack.Set(8 << 20)
	res, err := m.ExportedFunction(name).Call(context.Background(), args...)
	return res, int64(budget) - int64(m.fuel.Get()), err
}

var (
	unary = Sig(T(I32), T(I32))
	none  = Sig(nil, nil)
)

// countdown is a loop of n rounds of 7 instructions each, of which the last is the branch.
func countdown(local int, body ...[]byte) []byte {
	return Loop(Empty, Cat(body...), LocalGet(local), I32Const(1), I32Sub, LocalTee(local), BrIf(0))
}

// costs is code of functions with one parameter, and what calls cost by hand: exactly,
// and as charged by default.
var costs = []struct {
	name           string
	arg            uint64
	code           [][]byte
	exact, charged int64
}{
	{"constant", 1, [][]byte{I32Const(7)}, 1, 1},
	{"three instructions", 1, [][]byte{LocalGet(0), I32Const(7), I32Add}, 3, 3},
	{"nop and block are free", 1, [][]byte{Nop, Block(Empty, Nop), LocalGet(0)}, 1, 1},
	{"return", 1, [][]byte{LocalGet(0), Return}, 2, 2},
	{"branch to the function", 1, [][]byte{LocalGet(0), Br(0)}, 2, 2},
	{"loop of ten", 10, [][]byte{countdown(0), LocalGet(0)}, 51, 100}, // ten at least for each round
	{"untaken if", 0, [][]byte{LocalGet(0), If(Empty, I32Const(1), Drop), LocalGet(0)}, 3, 5},
	{"taken if", 1, [][]byte{LocalGet(0), If(Empty, I32Const(1), Drop), LocalGet(0)}, 5, 5},
	{"costly arm, not taken", 0, [][]byte{LocalGet(0), If(Empty, many(50)), LocalGet(0)}, 3, 3},
	{"costly arm, taken", 1, [][]byte{LocalGet(0), If(Empty, many(50)), LocalGet(0)}, 103, 103},
	{"costly else, not taken", 1, [][]byte{LocalGet(0), If(I32, I32Const(1), Else, many(50), I32Const(2))}, 3, 3},
	{"costly else, taken", 0, [][]byte{LocalGet(0), If(I32, I32Const(1), Else, many(50), I32Const(2))}, 103, 103},
	{"early return", 1, [][]byte{LocalGet(0), If(Empty, LocalGet(0), Return), many(50), LocalGet(0)}, 4, 4},
	{"no early return", 0, [][]byte{LocalGet(0), If(Empty, LocalGet(0), Return), many(50), LocalGet(0)}, 103, 103},
	{"loop in a cheap arm", 1, [][]byte{LocalGet(0), If(Empty, countdown(0)), many(50), LocalGet(0)}, 108, 113},
	{"branch over", 1, [][]byte{Block(Empty, LocalGet(0), BrIf(0), many(50)), LocalGet(0)}, 3, 3},
	{"no branch over", 0, [][]byte{Block(Empty, LocalGet(0), BrIf(0), many(50)), LocalGet(0)}, 103, 103},
	{"table, short way", 0, [][]byte{Block(Empty, Block(Empty, LocalGet(0), BrTable(1, 0)), many(50)), LocalGet(0)}, 3, 3},
	{"table, long way", 1, [][]byte{Block(Empty, Block(Empty, LocalGet(0), BrTable(1, 0)), many(50)), LocalGet(0)}, 103, 104},
	{"fill of 4096", 4096, [][]byte{I32Const(0), I32Const(1), LocalGet(0), MemoryFill, LocalGet(0)}, 517, 517},
	{"copy of 100", 100, [][]byte{I32Const(0), I32Const(8), LocalGet(0), MemoryCopy, LocalGet(0)}, 17, 17},
	{"grow by two", 2, [][]byte{LocalGet(0), MemoryGrow}, 2 + 2*8192, 2 + 2*8192},
	{"grow in vain", 60000, [][]byte{LocalGet(0), MemoryGrow}, 2, 2},
	{"table grows", 9, [][]byte{RefNull, LocalGet(0), TableGrow}, 12, 12},
	{"host call", 9, [][]byte{LocalGet(0), Call(0)}, 2, 2},
	{"call of a leaf", 9, [][]byte{LocalGet(0), Call(1)}, 5, 5},
	{"call of a loop", 9, [][]byte{LocalGet(0), Call(2)}, 2 + 9*5 + 1, 2 + 9*10},
	{"call through a table", 0, [][]byte{I32Const(5), LocalGet(0), CallIndirect(0)}, 6, 3 + 16},
	{"call of a loop through a table", 1, [][]byte{I32Const(5), LocalGet(0), CallIndirect(0)}, 3 + 5*5 + 1, 3 + 16 + 5*10},
}

// many is n times two instructions.
func many(n int) []byte {
	var out []byte
	for range n {
		out = Cat(out, I32Const(1), Drop)
	}
	return out
}

func costModule() []byte {
	m := &Module{Memories: [][2]int{{1, 10}}, Tables: [][2]int{{4, 100}}}
	m.Import("env", "triple", unary)
	leaf := m.Func(unary, nil, LocalGet(0), I32Const(7), I32Add)
	looping := m.Func(unary, nil, countdown(0), LocalGet(0))
	m.Elements(0, leaf, looping)
	for i, c := range costs {
		m.Export(fmt.Sprint(i), m.Func(unary, nil, c.code...))
	}
	return m.Bytes()
}

func TestCosts(t *testing.T) {
	for _, exact := range []bool{true, false} {
		for i, c := range costs {
			t.Run(fmt.Sprintf("%s exact=%v", c.name, exact), func(t *testing.T) {
				m := run(t, costModule(), fuel.Options{Exact: exact})
				want := c.charged
				if exact {
					want = c.exact
				}
				_, used, err := m.call(1e9, fmt.Sprint(i), c.arg)
				require.NoError(t, err)
				require.Equal(t, want, used)
				_, again, err := m.call(1e9, fmt.Sprint(i), c.arg)
				require.NoError(t, err)
				if !strings.Contains(c.name, "grow") {
					require.Equal(t, used, again)
				}
				require.EqualValues(t, 8<<20, m.stack.Get(), "the stack is given back")
			})
		}
	}
}

func TestExhausted(t *testing.T) {
	m := &Module{Memories: [][2]int{{1, 10}}, Tables: [][2]int{{2, 2}}}
	next := m.Next()
	m.Export("loop", m.Func(none, nil, Loop(Empty, Br(0))))
	m.Export("loop of a nop", m.Func(none, nil, Loop(Empty, Block(Empty, I32Const(1), BrIf(0), many(60)), Br(0))))
	m.Export("nested", m.Func(none, nil, Loop(Empty, Loop(Empty, I32Const(1), BrIf(1)), Br(0))))
	m.Export("fill", m.Func(none, nil, Loop(Empty, I32Const(0), I32Const(1), I32Const(65536), MemoryFill, Br(0))))
	// Two calls each level: time doubles with each level, while the stack stays small.
	tree := m.Next()
	m.Export("tree", m.Func(Sig(T(I32), nil), nil,
		LocalGet(0), If(Empty, LocalGet(0), I32Const(1), I32Sub, Call(tree), LocalGet(0), I32Const(1), I32Sub, Call(tree))))
	// The same through a table, with the calls in an arm that is charged by itself.
	typ := m.Type(Sig(T(I32), nil))
	shy := m.Func(Sig(T(I32), nil), nil, LocalGet(0), If(Empty, many(60),
		LocalGet(0), I32Const(1), I32Sub, I32Const(0), CallIndirect(typ),
		LocalGet(0), I32Const(1), I32Sub, I32Const(0), CallIndirect(typ)))
	m.Elements(0, shy)
	m.Export("tree through a table", shy)
	mac := run(t, m.Bytes(), fuel.Options{})
	require.Equal(t, 0, next)
	for _, name := range []string{"loop", "loop of a nop", "nested", "fill", "tree", "tree through a table"} {
		t.Run(name, func(t *testing.T) {
			var args []uint64
			if strings.Contains(name, "tree") {
				args = []uint64{60}
			}
			_, used, err := mac.call(1e6, name, args...)
			require.ErrorContains(t, err, "unreachable")
			require.Greater(t, used, int64(1e6))
			require.Less(t, used, int64(1e6)+20000)
			require.Negative(t, int64(mac.fuel.Get()))
			require.Positive(t, int32(mac.stack.Get()))
			_, again, err := mac.call(1e6, name, args...)
			require.Error(t, err)
			require.Equal(t, used, again)
		})
	}
}

func TestStack(t *testing.T) {
	m := &Module{Tables: [][2]int{{2, 2}}}
	self := m.Next()
	m.Export("self", m.Func(none, nil, Call(self)))
	ping := m.Next()
	m.Export("ping", m.Func(none, nil, Call(ping+1)))
	m.Func(none, nil, Call(ping))
	typ := m.Type(none)
	table := m.Func(none, nil, I32Const(0), CallIndirect(typ))
	m.Elements(0, table)
	m.Export("table", table)
	// Many locals that live across the call.
	wide := m.Next()
	m.Export("wide", m.Func(none, many64(1000), Call(wide)))
	// A chain of 4,000 functions without recursion.
	first := m.Next()
	for i := range 4000 {
		if i == 3999 {
			m.Func(none, nil)
			break
		}
		m.Func(none, nil, Call(first+i+1), Call(first+i+1))
	}
	m.Export("chain", m.Func(none, nil, Call(first)))
	mac := run(t, m.Bytes(), fuel.Options{})
	for _, name := range []string{"self", "ping", "table", "wide"} {
		_, used, err := mac.call(1e12, name)
		require.ErrorContains(t, err, "unreachable", name)
		require.Negative(t, int32(mac.stack.Get()), name)
		require.Less(t, used, int64(1e7), name)
	}
	_, _, err := mac.call(1e7, "chain")
	require.ErrorContains(t, err, "unreachable")
	require.True(t, int64(mac.fuel.Get()) < 0 || int32(mac.stack.Get()) < 0)
}

func many64(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = I64
	}
	return out
}

func TestStartIsAnExport(t *testing.T) {
	m := &Module{}
	m.Global(I32, true, I32Const(1)...)
	m.ExportRaw("g", 3, 0)
	m.Start = m.Func(none, nil, I32Const(2), GlobalSet(0)) + 1
	mac := run(t, m.Bytes(), fuel.Options{})
	require.EqualValues(t, 1, mac.ExportedGlobal("g").Get())
	_, used, err := mac.call(100, fuel.Start)
	require.NoError(t, err)
	require.EqualValues(t, 2, used)
	require.EqualValues(t, 2, mac.ExportedGlobal("g").Get())
}

func TestNothingRunsBeforeTheHostSaysSo(t *testing.T) {
	m := &Module{}
	m.Export("f", m.Func(none, nil, I32Const(2), Drop))
	mac := run(t, m.Bytes(), fuel.Options{})
	_, err := mac.ExportedFunction("f").Call(context.Background())
	require.Error(t, err)
	require.Negative(t, int64(mac.fuel.Get()))
}

func TestReferencesAllocateOnce(t *testing.T) {
	m := &Module{Tables: [][2]int{{2, 2}}}
	f := m.Func(none, nil)
	g := m.Func(Sig(nil, T(I32)), nil, I32Const(5))
	typ := m.Type(Sig(nil, T(I32)))
	m.Export("call", m.Func(Sig(nil, T(I32)), nil,
		I32Const(0), RefFunc(f), []byte{0x26, 0}, I32Const(1), RefFunc(g), []byte{0x26, 0}, I32Const(1), CallIndirect(typ)))
	m.Elements(0, f, g)
	mac := run(t, m.Bytes(), fuel.Options{})
	res, _, err := mac.call(1e6, "call")
	require.NoError(t, err)
	require.EqualValues(t, 5, res[0])
}

func TestTablesAreCapped(t *testing.T) {
	m := &Module{Tables: [][2]int{{1, -1}}}
	m.Export("grow", m.Func(unary, nil, RefNull, LocalGet(0), TableGrow))
	mac := run(t, m.Bytes(), fuel.Options{})
	res, _, err := mac.call(1e9, "grow", 1000)
	require.NoError(t, err)
	require.EqualValues(t, 1, res[0])
	res, _, err = mac.call(1e9, "grow", 1<<20)
	require.NoError(t, err)
	require.EqualValues(t, math.MaxUint32, res[0])
}

func TestDeterministic(t *testing.T) {
	a, err := fuel.Rewrite(costModule(), fuel.Options{})
	require.NoError(t, err)
	b, err := fuel.Rewrite(costModule(), fuel.Options{})
	require.NoError(t, err)
	require.Equal(t, a, b)
	_, err = fuel.Rewrite(a, fuel.Options{})
	require.ErrorContains(t, err, "reserved", "a rewritten module is refused")
}

func TestNames(t *testing.T) {
	m := &Module{}
	m.Export("f", m.Func(none, nil, Unreachable))
	m.Names("my_function")
	m.Custom("name", []byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f}) // dropped: its count does not fit
	m.Custom("manifest", []byte("hello"))
	_, _, err := run(t, m.Bytes(), fuel.Options{}).call(100, "f")
	require.ErrorContains(t, err, "my_function")
	c, ok := fuel.CustomSection(m.Bytes(), "manifest")
	require.True(t, ok)
	require.Equal(t, "hello", string(c))
	_, ok = fuel.CustomSection(m.Bytes(), "other")
	require.False(t, ok)
	_, ok = fuel.CustomSection(nil, "other")
	require.False(t, ok)
}

// TestState: everything that code can change is an export that the host can set, or marked.
func TestState(t *testing.T) {
	m := &Module{Memories: [][2]int{{1, 2}}, Tables: [][2]int{{2, 5}}, DataCount: true}
	m.Global(I64, false, I64Const(9)...)
	m.Global(I32, true, I32Const(1)...)
	vector := m.Global(V128, true, Cat([]byte{0xfd, 12}, make([]byte, 16))...)
	m.Global(F64, true, append([]byte{0x44}, make([]byte, 8)...)...)
	reference := m.Global(Funcref, true, RefNull...)
	m.Global(F32, true, append([]byte{0x43}, make([]byte, 4)...)...)
	m.Global(I64, true, I64Const(-1)...)
	m.Data(-1, []byte("x"))
	zeros := Cat(I32Const(0), I32Const(0), I32Const(0))
	cases := map[string]struct {
		code []byte
		mark uint64
	}{
		"nothing":           {Nop, 0},
		"set a number":      {Cat(I32Const(5), GlobalSet(1)), 0},
		"set a vector":      {Cat(GlobalGet(vector), GlobalSet(vector)), 1},
		"set a reference":   {Cat(RefNull, GlobalSet(reference)), 1},
		"get a reference":   {Cat(GlobalGet(reference), Drop), 0},
		"table.set":         {Cat(I32Const(0), RefNull, []byte{0x26, 0}), 1},
		"table.get":         {Cat(I32Const(0), []byte{0x25, 0}, Drop), 0},
		"table.size":        {Cat([]byte{0xfc, 16, 0}, Drop), 0},
		"table.grow":        {Cat(RefNull, I32Const(1), TableGrow, Drop), 1},
		"table.fill":        {Cat(I32Const(0), RefNull, I32Const(0), []byte{0xfc, 17, 0}), 1},
		"table.copy":        {Cat(zeros, []byte{0xfc, 14, 0, 0}), 1},
		"table.init":        {Cat(zeros, []byte{0xfc, 12, 0, 0}), 1},
		"elem.drop":         {[]byte{0xfc, 13, 0}, 1},
		"memory.init":       {Cat(zeros, []byte{0xfc, 8, 0, 0}), 0},
		"memory.fill":       {Cat(zeros, MemoryFill), 0},
		"memory.copy":       {Cat(zeros, MemoryCopy), 0},
		"memory.grow":       {Cat(I32Const(1), MemoryGrow, Drop), 0},
		"data.drop":         {[]byte{0xfc, 9, 0}, 1},
		"in a branch taken": {Cat(I32Const(1), If(Empty, []byte{0xfc, 9, 0})), 1},
		"in a branch not":   {Cat(I32Const(0), If(Empty, []byte{0xfc, 9, 0})), 0},
	}
	for name, c := range cases {
		m.Export(name, m.Func(none, nil, c.code))
	}
	m.Elements(0, 0)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			mac := run(t, m.Bytes(), fuel.Options{})
			_, _, err := mac.call(1e6, name)
			require.NoError(t, err)
			require.Equal(t, c.mark, mac.ExportedGlobal(fuel.Changed).Get())
			var types []api.ValueType
			for i := 0; ; i++ {
				g, ok := mac.ExportedGlobal(fuel.State(i)).(api.MutableGlobal)
				if !ok {
					break
				}
				types = append(types, g.Type())
			}
			require.Equal(t, []api.ValueType{api.ValueTypeI32, api.ValueTypeF64, api.ValueTypeF32, api.ValueTypeI64}, types)
		})
	}
	plain := &Module{}
	plain.Func(Sig(nil, nil), nil, Nop)
	require.Nil(t, run(t, plain.Bytes(), fuel.Options{}).ExportedGlobal(fuel.Changed))
}
