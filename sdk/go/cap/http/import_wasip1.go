package http

import "unsafe"

func call(record, out []byte) int64 {
	return importCall(unsafe.Pointer(unsafe.SliceData(record)), uint32(len(record)),
		unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out)))
}

//go:wasmimport wasmgate.http.v1 call
//go:noescape
func importCall(record unsafe.Pointer, length uint32, out unsafe.Pointer, room uint32) int64
