//go:build !wasip1

package secret

import "github.com/wasmgate/wasmgate/sdk/go"

func get(name string, out []byte) int64 {
	value, status := wasmgate.NativeHost().Secret(name)
	return wasmgate.Fill(out, value, status)
}
