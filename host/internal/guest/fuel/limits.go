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
	maxReloads      = 1 << 28 // (calls + functions) x mutable globals: wazero reloads each global after each call
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
