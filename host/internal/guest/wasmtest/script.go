package wasmtest

// Callee is a function that a script may call, by its index, and its type.
type Callee struct {
	Func int
	Type Type
}

// ScriptStep is how many bytes one step of a script has: the callee's number in the first,
// and from the fourth on eight for each parameter, twelve at most.
const ScriptStep = 4 + 8*12

// Script is code that calls what the script in memory at a place says, step by step, until a
// number that no callee has. It uses an i32 local. What the callees answer is dropped.
func Script(callees []Callee, local, at int) []byte {
	var calls []byte
	for i, c := range callees {
		var call []byte
		for n, t := range c.Type.Params {
			call = Cat(call, LocalGet(local), load(t, 4+8*n))
		}
		call = Cat(call, Call(c.Func))
		for range c.Type.Results {
			call = Cat(call, Drop)
		}
		calls = Cat(calls, LocalGet(local), []byte{0x2d, 0, 0}, I32Const(int64(i)), []byte{0x46}, If(Empty, call)) // i32.load8_u, i32.eq
	}
	return Cat(I32Const(int64(at)), LocalSet(local), Block(Empty, Loop(Empty,
		LocalGet(local), []byte{0x2d, 0, 0}, I32Const(int64(len(callees))), []byte{0x4f}, BrIf(1), // i32.ge_u
		calls, LocalGet(local), I32Const(ScriptStep), I32Add, LocalSet(local), Br(0))))
}

func load(t byte, offset int) []byte {
	if t == I64 {
		return Cat([]byte{0x29, 0}, U(uint64(offset)))
	}
	return I32Load(offset)
}
