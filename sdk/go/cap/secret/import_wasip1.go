package secret

import "unsafe"

func get(name string, out []byte) int64 {
	return importGet(name, unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out)))
}

//go:wasmimport wasmgate.secret.v1 get
//go:noescape
func importGet(name string, out unsafe.Pointer, room uint32) int64
