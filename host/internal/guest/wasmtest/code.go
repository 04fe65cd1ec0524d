package wasmtest

// Instructions without immediates.
var (
	Unreachable = []byte{0x00}
	Nop         = []byte{0x01}
	Else        = []byte{0x05}
	End         = []byte{0x0b}
	Return      = []byte{0x0f}
	Drop        = []byte{0x1a}
	Select      = []byte{0x1b}
	I32Eqz      = []byte{0x45}
	I32LtU      = []byte{0x49}
	I32Add      = []byte{0x6a}
	I32Sub      = []byte{0x6b}
	I32Mul      = []byte{0x6c}
	I32And      = []byte{0x71}
	I64Add      = []byte{0x7c}
	I64Or       = []byte{0x84}
	I64Shl      = []byte{0x86}
	I64FromU    = []byte{0xad}
	MemorySize  = []byte{0x3f, 0}
	MemoryGrow  = []byte{0x40, 0}
	MemoryFill  = []byte{0xfc, 11, 0}
	MemoryCopy  = []byte{0xfc, 10, 0, 0}
	TableGrow   = []byte{0xfc, 15, 0}
	RefNull     = []byte{0xd0, Funcref}
)

// Empty is the type of a block without results.
const Empty byte = 0x40

// Cat joins.
func Cat(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// U is an unsigned LEB128.
func U(v uint64) []byte {
	var out []byte
	for v >= 0x80 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v))
}

// S is a signed LEB128.
func S(v int64) []byte {
	var out []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(out, c)
		}
		out = append(out, c|0x80)
	}
}

// Name is a length and bytes.
func Name(s string) []byte { return Cat(U(uint64(len(s))), []byte(s)) }

func op(code byte, i int) []byte { return append([]byte{code}, U(uint64(i))...) }

// Block, Loop and If open a block of a type: [Empty] or a value type.
func Block(t byte, code ...[]byte) []byte { return Cat([]byte{0x02, t}, Cat(code...), End) }

// Loop is a loop.
func Loop(t byte, code ...[]byte) []byte { return Cat([]byte{0x03, t}, Cat(code...), End) }

// If is an if; put [Else] between its arms.
func If(t byte, code ...[]byte) []byte { return Cat([]byte{0x04, t}, Cat(code...), End) }

// Br branches.
func Br(label int) []byte { return op(0x0c, label) }

// BrIf branches on a condition.
func BrIf(label int) []byte { return op(0x0d, label) }

// BrTable branches by index; the last label is the default.
func BrTable(labels ...int) []byte {
	out := op(0x0e, len(labels)-1)
	for _, l := range labels {
		out = append(out, U(uint64(l))...)
	}
	return out
}

// Call calls.
func Call(f int) []byte { return op(0x10, f) }

// CallIndirect calls through table 0.
func CallIndirect(typ int) []byte { return append(op(0x11, typ), 0) }

// LocalGet reads a local.
func LocalGet(i int) []byte { return op(0x20, i) }

// LocalSet sets a local.
func LocalSet(i int) []byte { return op(0x21, i) }

// LocalTee sets a local and keeps the value.
func LocalTee(i int) []byte { return op(0x22, i) }

// GlobalGet reads a global.
func GlobalGet(i int) []byte { return op(0x23, i) }

// GlobalSet sets a global.
func GlobalSet(i int) []byte { return op(0x24, i) }

// RefFunc is a reference to a function.
func RefFunc(f int) []byte { return op(0xd2, f) }

// I32Const is a constant.
func I32Const(v int64) []byte { return append([]byte{0x41}, S(v)...) }

// I64Const is a constant.
func I64Const(v int64) []byte { return append([]byte{0x42}, S(v)...) }

// I32Load loads with an offset.
func I32Load(offset int) []byte { return Cat([]byte{0x28, 0}, U(uint64(offset))) }

// I32Store stores with an offset.
func I32Store(offset int) []byte { return Cat([]byte{0x36, 0}, U(uint64(offset))) }

// I64Store stores with an offset.
func I64Store(offset int) []byte { return Cat([]byte{0x37, 0}, U(uint64(offset))) }
