// Package kv stores small values in the host, under key prefixes that the policy
// grants. Keys are at most 256 bytes, values 64 KiB, 16 MiB for each plugin.
package kv

import "github.com/wasmgate/wasmgate/sdk/go"

// Get appends the value of key to dst. [wasmgate.ErrNotFound] when there is none.
func Get(dst []byte, key string) ([]byte, error) {
	return wasmgate.Fetch(dst, func(out []byte) int64 { return get(key, out) })
}

// Set stores value under key for ttl; 0 keeps it until the host ends.
func Set(key string, value []byte, ttl wasmgate.Duration) error {
	return wasmgate.StatusError(set(key, value, int64(ttl)))
}

// Delete removes key; it may be absent.
func Delete(key string) error { return wasmgate.StatusError(remove(key)) }
