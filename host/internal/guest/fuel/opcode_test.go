package fuel_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasmgate/wasmgate/host/internal/guest/fuel"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// TestEveryOpcode offers every opcode with every form of immediates to wazero, in code that
// is never reached, where types do not count. What wazero accepts, rewriting must accept
// and keep: an immediate of a wrong length would shift all that follows.
func TestEveryOpcode(t *testing.T) {
	var opcodes [][]byte
	for op := range 0xfc {
		opcodes = append(opcodes, []byte{byte(op)})
	}
	for op := range 32 {
		opcodes = append(opcodes, []byte{0xfc, byte(op)})
	}
	for op := range 300 {
		opcodes = append(opcodes, Cat([]byte{0xfd}, U(uint64(op))))
	}
	forms := [][]byte{
		nil, {0}, {0, 0}, {0, 0, 0}, make([]byte, 4), make([]byte, 8), make([]byte, 16), {0x70}, {1, I32},
		{0x80, 0x80, 0x80, 0x80, 0}, {0xff, 0xff, 0xff, 0xff, 0x7f}, {1, 0, 0}, {Empty, 0x0b}, {I32, 0x0b},
	}
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2))
	defer func() { require.NoError(t, r.Close(ctx)) }()
	accepted := 0
	for _, op := range opcodes {
		for _, form := range forms {
			m := &Module{Memories: [][2]int{{1, 1}}, Tables: [][2]int{{2, 2}}, DataCount: true}
			m.Data(-1, []byte("x"))
			m.Global(I32, true, I32Const(0)...)
			f := m.Func(Sig(nil, T(I32)), []byte{I32}, Block(Empty, Br(0), op, form, Unreachable), I32Const(42))
			m.Elements(0, f)
			m.Export("f", f)
			wasm := m.Bytes()
			c, err := r.CompileModule(ctx, wasm)
			if err != nil {
				continue
			}
			require.NoError(t, c.Close(ctx))
			out, err := fuel.Rewrite(wasm, fuel.Options{Exact: true})
			if err != nil && (strings.Contains(err.Error(), "shortest form") || strings.Contains(err.Error(), "memory index")) {
				continue // what wazero reads in two ways
			}
			accepted++
			require.NoError(t, err, "opcode %x, immediates %x", op, form)
			mod, err := r.Instantiate(ctx, out)
			require.NoError(t, err, "opcode %x, immediates %x", op, form)
			mod.ExportedGlobal(fuel.Global).(api.MutableGlobal).Set(100)
			got, err := mod.ExportedFunction("f").Call(ctx)
			require.NoError(t, err, "opcode %x, immediates %x", op, form)
			require.Equal(t, []uint64{42}, got, "opcode %x, immediates %x", op, form)
			require.NoError(t, mod.Close(ctx))
		}
	}
	require.Greater(t, accepted, 430, "all of WebAssembly 2.0")
}

// TestHiddenCode has instructions in what a careless reader takes for immediates: wazero
// ends the block and begins a loop there.
func TestHiddenCode(t *testing.T) {
	for name, code := range map[string][]byte{
		"vector opcode":  Cat(Block(Empty, I32Const(1), BrIf(0), []byte{0xfd, 0x80, 0x00, 0x01, 0x0b}), End),
		"misc opcode":    {0xfc, 0x8b, 0x00, 0x00},
		"memory index":   {0x3f, 0x80, 0x00, 0x1a},
		"memory of copy": {0xfc, 10, 0x80, 0x00, 0},
		"memory of init": {0xfc, 8, 0, 0x80, 0x00},
	} {
		m := &Module{Memories: [][2]int{{1, 1}}, DataCount: true}
		m.Data(-1, []byte("x"))
		m.Func(Sig(nil, nil), nil, Unreachable, code)
		_, err := fuel.Rewrite(m.Bytes(), fuel.Options{})
		require.Error(t, err, name)
	}
}

func TestSeveralResults(t *testing.T) {
	m := &Module{}
	swap := m.Func(Sig(T(I32, I32), T(I32, I32)), nil, LocalGet(0), If(Empty, LocalGet(1), LocalGet(0), Return),
		Loop(Empty, LocalGet(1), If(Empty, LocalGet(1), I32Const(1), I32Sub, LocalTee(1), BrIf(1))), I32Const(8), I32Const(9))
	m.Export("swap", swap)
	m.Export("twice", m.Func(Sig(T(I32, I32), T(I32, I32)), nil, LocalGet(0), LocalGet(1), Call(swap), Call(swap)))
	m.Export("longs", m.Func(Sig(nil, T(I64, I32)), nil, Loop(Empty, I32Const(0), BrIf(0)), I64Const(1), I32Const(2)))
	mac := run(t, m.Bytes(), fuel.Options{})
	for _, c := range []struct {
		name       string
		args, want []uint64
	}{
		{"swap", []uint64{3, 4}, []uint64{4, 3}}, {"swap", []uint64{0, 4}, []uint64{8, 9}},
		{"twice", []uint64{3, 4}, []uint64{3, 4}}, {"longs", nil, []uint64{1, 2}},
	} {
		res, used, err := mac.call(1000, c.name, c.args...)
		require.NoError(t, err)
		require.Equal(t, c.want, res)
		require.Positive(t, used)
	}
}

// TestVectors runs instructions of every form of immediates on v128.
func TestVectors(t *testing.T) {
	fd := func(op uint64, imm ...byte) []byte { return Cat([]byte{0xfd}, U(op), imm) }
	m := &Module{Memories: [][2]int{{1, 1}}}
	m.Data(0, []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"))
	m.Export("f", m.Func(Sig(nil, T(I32)), T(V128),
		I32Const(0), fd(0, 0, 0), // v128.load
		fd(12, bytes.Repeat([]byte{1}, 16)...),                                                 // v128.const
		fd(110),                                                                                // i8x16.add
		LocalTee(0), LocalGet(0), fd(13, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), // shuffle
		[]byte{0x21, 0}, I32Const(32), LocalGet(0), fd(11, 0, 0), // v128.store
		I32Const(64), LocalGet(0), fd(88, 0, 0, 3), // v128.store8_lane
		LocalGet(0), fd(22, 0), // i8x16.extract_lane_u
		I32Const(64), []byte{0x2d, 0, 0}, I32Add))
	res, used, err := run(t, m.Bytes(), fuel.Options{}).call(1000, "f")
	require.NoError(t, err)
	require.EqualValues(t, 17+14, res[0])
	require.EqualValues(t, 19, used)
}
