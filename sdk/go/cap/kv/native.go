//go:build !wasip1

package kv

import "github.com/wasmgate/wasmgate/sdk/go"

func get(key string, out []byte) int64 {
	value, status := wasmgate.NativeHost().KVGet(key)
	return wasmgate.Fill(out, value, status)
}

func set(key string, value []byte, ttlMS int64) int32 {
	return wasmgate.NativeHost().KVSet(key, value, ttlMS)
}

func remove(key string) int32 { return wasmgate.NativeHost().KVDelete(key) }
