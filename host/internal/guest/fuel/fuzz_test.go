package fuel_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasmgate/wasmgate/host/internal/guest/fuel"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// dice makes a valid module from bytes. Functions call only those before them, and every
// loop counts down, so that the module ends, though perhaps not soon.
type dice struct {
	in     []byte
	m      *Module
	funcs  int
	labels []bool // open blocks, innermost last: may be branched to
	loops  int
	left   int // instructions that may still be written
}

const (
	params, vars, counters = 2, 3, 4 // locals: parameters, variables, loop counters
	globals, tableSize     = 2, 4
)

func (d *dice) n(n int) int {
	if len(d.in) == 0 {
		return 0
	}
	b := int(d.in[0])
	d.in = d.in[1:]
	return b % n
}

var pair = Sig(T(I32, I32), T(I32))

func generate(in []byte) []byte {
	d := &dice{in: in, m: &Module{Memories: [][2]int{{1, 4}}, Tables: [][2]int{{tableSize, 8}}}}
	d.m.Import("env", "triple", unary)
	d.funcs = 1 + d.n(5)
	for range globals {
		g := d.m.Global(I32, true, I32Const(1)...)
		d.m.ExportRaw(fmt.Sprint("g", g), 3, g)
	}
	locals := make([]byte, vars+counters)
	for i := range locals {
		locals[i] = I32
	}
	for i := range d.funcs {
		d.left = 200
		d.labels, d.loops = nil, 0
		code := Cat(d.statements(i, 4), d.value(i, 3))
		d.m.Export(fmt.Sprint("f", i), d.m.Func(pair, locals, code))
	}
	d.m.Elements(0, 1, 1+d.n(d.funcs), 1+d.n(d.funcs))
	d.m.ExportRaw("memory", 2, 0)
	return d.m.Bytes()
}

func (d *dice) statements(self, depth int) []byte {
	var out []byte
	for range 1 + d.n(4) {
		if d.left <= 0 {
			break
		}
		out = Cat(out, d.statement(self, depth))
	}
	return out
}

func (d *dice) inside(target bool, f func() []byte) []byte {
	d.labels = append(d.labels, target)
	out := f()
	d.labels = d.labels[:len(d.labels)-1]
	return out
}

// forward is a label of a block that may be branched to; -1 is none.
func (d *dice) forward() int {
	if len(d.labels) == 0 {
		return -1
	}
	l := d.n(len(d.labels))
	if !d.labels[len(d.labels)-1-l] {
		return -1
	}
	return l
}

func (d *dice) statement(self, depth int) []byte {
	d.left--
	body := func() []byte { return d.statements(self, depth-1) }
	switch k := d.n(16); {
	case k < 2:
		return Cat(d.value(self, 2), LocalSet(d.n(params+vars)))
	case k == 2:
		return Cat(d.value(self, 2), GlobalSet(d.n(globals)))
	case k == 3:
		return Cat(d.address(self), d.value(self, 2), I32Store(d.n(64)))
	case k < 6 && depth > 0:
		then := d.inside(true, body)
		if d.n(2) == 0 {
			return Cat(d.value(self, 2), If(Empty, then))
		}
		return Cat(d.value(self, 2), If(Empty, then, Else, d.inside(true, body)))
	case k < 8 && depth > 0:
		return Block(Empty, d.inside(true, body))
	case k < 10 && depth > 0 && d.loops < counters:
		c := params + vars + d.loops
		d.loops++
		code := d.inside(false, body)
		d.loops--
		return Cat(I32Const(int64(1+d.n(5))), LocalSet(c),
			Loop(Empty, code, LocalGet(c), I32Const(1), I32Sub, LocalTee(c), BrIf(0)))
	case k == 10:
		if l := d.forward(); l >= 0 {
			return Cat(d.value(self, 1), BrIf(l))
		}
	case k == 11:
		if l, o := d.forward(), d.forward(); l >= 0 && o >= 0 {
			return Cat(d.value(self, 1), BrTable(l, o, l))
		}
	case k == 12:
		return Cat(d.value(self, 1), If(Empty, d.value(self, 1), Return))
	case k == 13:
		return Cat(d.value(self, 1), Drop, many(d.n(100)))
	case k == 14:
		size := []byte{0xfc, byte(10 + d.n(2)), 0}
		if size[1] == 10 {
			size = append(size, 0)
		}
		return Cat(d.address(self), d.address(self), I32Const(int64(d.n(256)*17)), size)
	case k == 15:
		return Cat(I32Const(int64(d.n(tableSize))), RefFunc(1+d.n(max(self, 1))), []byte{0x26, 0})
	}
	return Nop
}

func (d *dice) address(self int) []byte {
	return Cat(d.value(self, 1), I32Const(0xfff), I32And)
}

func (d *dice) value(self, depth int) []byte {
	d.left--
	switch k := d.n(14); {
	case k < 3 || depth == 0 || d.left <= 0:
		return LocalGet(d.n(params + vars))
	case k == 3:
		return I32Const(int64(d.n(256)) - 100)
	case k == 4:
		return GlobalGet(d.n(globals))
	case k < 7:
		return Cat(d.value(self, depth-1), d.value(self, depth-1), []byte{byte(0x6a + d.n(15))}) // add to rotl; division may trap
	case k == 7:
		return Cat(d.address(self), I32Load(d.n(64)))
	case k == 8 && self > 0:
		return Cat(d.value(self, depth-1), d.value(self, depth-1), Call(1+d.n(self)))
	case k == 9 && self == d.funcs-1:
		return Cat(d.value(self, depth-1), d.value(self, depth-1), I32Const(int64(d.n(tableSize))), CallIndirect(d.m.Type(pair)))
	case k == 10:
		return Cat(d.value(self, depth-1), I32Const(3), I32And, MemoryGrow)
	case k == 11:
		return Cat(d.value(self, depth-1), Call(0))
	case k == 12:
		return Cat(d.value(self, depth-1), If(I32, d.inside(false, func() []byte {
			return Cat(d.value(self, depth-1), Else, d.value(self, depth-1))
		})))
	}
	return MemorySize
}

// state is all that a call leaves behind.
type state struct {
	results []uint64
	trap    string
	globals [globals]uint64
	memory  [32]byte
}

func stateOf(m api.Module, results []uint64, err error) state {
	s := state{results: results}
	if err != nil {
		s.trap, _, _ = strings.Cut(err.Error(), "\n")
	}
	for i := range s.globals {
		s.globals[i] = m.ExportedGlobal(fmt.Sprint("g", i)).Get()
	}
	mem, _ := m.Memory().Read(0, m.Memory().Size())
	s.memory = sha256.Sum256(mem)
	return s
}

// FuzzRewrite: a rewritten module does what the original does, at a cost that is the same
// each time and never below the exact one.
func FuzzRewrite(f *testing.F) {
	for i := range 40 {
		seed := sha256.Sum256([]byte{byte(i)})
		in := seed[:]
		for range 5 {
			seed = sha256.Sum256(seed[:])
			in = append(in, seed[:]...)
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		wasm := generate(in)
		name := fmt.Sprint("f", len(in)%2)
		if !strings.Contains(string(wasm), name) {
			name = "f0"
		}
		const budget = 200_000
		m := run(t, wasm, fuel.Options{})
		res, used, err := m.call(budget, name, 3, 5)
		if used > budget || int32(m.stack.Get()) < 0 {
			return
		}
		got := stateOf(m, res, err)
		plain := instantiate(t, wasm)
		res, err = plain.ExportedFunction(name).Call(context.Background(), 3, 5)
		require.Equal(t, stateOf(plain, res, err), got)

		again := run(t, wasm, fuel.Options{})
		res, usedAgain, err := again.call(budget, name, 3, 5)
		require.Equal(t, got, stateOf(again, res, err))
		require.Equal(t, used, usedAgain)
		if err != nil {
			return // a trap may come before or after a charge in advance
		}
		exact := run(t, wasm, fuel.Options{Exact: true})
		res, usedExact, err := exact.call(budget, name, 3, 5)
		require.Equal(t, got, stateOf(exact, res, err))
		require.LessOrEqual(t, usedExact, used)

		short := run(t, wasm, fuel.Options{})
		_, _, _ = short.call(uint64(used-1), name, 3, 5)
		require.Negative(t, int64(short.fuel.Get()))
		require.EqualValues(t, 8<<20, m.stack.Get())
	})
}

// FuzzRefuse: whatever the bytes, rewriting ends, and what it accepts and wazero then
// compiles is a module that wazero accepts as it was.
func FuzzRefuse(f *testing.F) {
	f.Add(costModule())
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	for i := range 4 {
		seed := sha256.Sum256([]byte{byte(i)})
		f.Add(generate(seed[:]))
	}
	files, err := filepath.Glob("testdata/*.wasm")
	require.NoError(f, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		began := time.Now()
		out, err := fuel.Rewrite(in, fuel.Options{})
		require.Less(t, time.Since(began), 5*time.Second)
		if err != nil {
			return
		}
		defer func() { require.Less(t, time.Since(began), 10*time.Second) }()
		ctx := context.Background()
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
		defer r.Close(ctx)
		if _, err := r.CompileModule(ctx, out); err != nil {
			return
		}
		_, err = r.CompileModule(ctx, in)
		if err != nil && (strings.Contains(err.Error(), "custom section") || strings.Contains(err.Error(), "section custom")) {
			return // dropped by the rewriting
		}
		require.NoError(t, err)
	})
}
