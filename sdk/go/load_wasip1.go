package wasmgate

import "unsafe"

// Wasm is little-endian and reads at any address; encoding/binary would make four loads
// of one, because the compiler does not join them on this architecture.

func load16(b []byte, at int) uint16 {
	_ = b[at+1]
	return *(*uint16)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), at))
}

func load32(b []byte, at int) uint32 {
	_ = b[at+3]
	return *(*uint32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), at))
}

func load64(b []byte, at int) uint64 {
	_ = b[at+7]
	return *(*uint64)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), at))
}

func store16(b []byte, at int, v uint16) {
	_ = b[at+1]
	*(*uint16)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), at)) = v
}

func store32(b []byte, at int, v uint32) {
	_ = b[at+3]
	*(*uint32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), at)) = v
}

func store64(b []byte, at int, v uint64) {
	_ = b[at+7]
	*(*uint64)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), at)) = v
}
