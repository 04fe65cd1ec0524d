package fuel

// Limits on what a module may declare. wazero allocates by declared counts and compiles
// some combinations in quadratic time, so a small hostile module could take gigabytes.
const (
	maxTypes        = 1 << 14
	maxParams       = 256
	maxResults      = 16
	maxImports      = 1 << 10
	maxFunctions    = 1 << 17
	maxTables       = 16
	maxTableSize    = 1 << 17
	maxGlobals      = 1 << 12
	maxExports      = 1 << 14
	maxElements     = 1 << 18
	maxSegments     = 100_000
	maxLocals       = 10_000
	maxAllLocals    = 1 << 22
	maxBody         = 4 << 20
	maxNesting      = 1 << 16
	maxTargets      = 1 << 22 // entries of all br_tables
	maxNameBytes    = 1 << 12 // of a function; a trap's trace has up to 30
	maxReferences   = 1 << 12 // distinct functions of ref.func in code
	reservedPrefix  = "wasmgate."
	slack           = 48
	calleePays      = 16   // entry cost up to which callers pay, and what every call_indirect pays
	roundPays       = 10   // least cost of a round of a loop, whose check takes longer than its instructions
	freeFrames      = 8192 // bytes of frames that need no accounting
	frameBytes      = 64   // return address, saved registers, alignment
	memoryUnitShift = 3    // 8 bytes a unit of fuel
	pageUnitShift   = 13   // 65536 >> 3
)

// Limits on what a module may take to compile, in nanoseconds as measured with wazero 1.12
// on a busy machine: the compiler knows no end of its own, and some shapes take it the
// square or cube of their size. 4 KiB of nested loops over a thousand locals took a minute.
const (
	maxFunctionTime = 5_000_000_000
	maxModuleTime   = 40_000_000_000
)

// shape is what the time to compile a function depends on.
type shape struct {
	locals, blocks, loops, nesting, targets, calls int
}

func (s shape) time(mutableGlobals int) int {
	return 2*s.blocks*s.locals*s.locals + 30*s.blocks*s.blocks + 600*s.loops*s.loops +
		s.nesting*s.nesting*s.nesting*s.locals + 25_000*s.targets +
		400*s.calls*(mutableGlobals+3) // each is reloaded after each call
}
