package wasmgate

import (
	"runtime"
	"unsafe"
)

//go:wasmexport wg_abi_v1
func marker() {}

//go:wasmexport wg_scratch
func area() int64 {
	if scratch == nil {
		scratch = make([]byte, DefaultScratch)
	}
	return pack(scratch)
}

// yieldEvery is how many calls go between two yields. A yield costs more than a small
// hook; with one in 8, guests that leave 160 KiB of garbage a call were measured to stay
// under 14 MB, with one in 64 they take 67 MB, without any all there is.
const yieldEvery = 8

var sinceYield int

// Serve answers the request of n bytes in the scratch area; the hook packages' exports
// call it.
func Serve(hook uint16, n uint32) int64 {
	out := serve(hook, scratch[:n])
	// The collector's goroutines run only while an export does, and not before it yields:
	// without this, short exports starve them and the heap grows until memory ends.
	if sinceYield++; sinceYield == yieldEvery {
		sinceYield = 0
		runtime.Gosched()
	}
	if out == nil {
		return 0
	}
	return pack(out)
}

func pack(b []byte) int64 {
	return int64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))<<32 | int64(len(b))
}
