package kv

import "unsafe"

func get(key string, out []byte) int64 {
	return importGet(key, unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out)))
}

func set(key string, value []byte, ttlMS int64) int32 {
	return importSet(key, unsafe.Pointer(unsafe.SliceData(value)), uint32(len(value)), ttlMS)
}

//go:wasmimport wasmgate.kv.v1 get
//go:noescape
func importGet(key string, out unsafe.Pointer, room uint32) int64

//go:wasmimport wasmgate.kv.v1 set
//go:noescape
func importSet(key string, value unsafe.Pointer, length uint32, ttlMS int64) int32

//go:wasmimport wasmgate.kv.v1 delete
//go:noescape
func remove(key string) int32
