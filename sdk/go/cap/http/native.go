//go:build !wasip1

package http

import "github.com/wasmgate/wasmgate/sdk/go"

func call(record, out []byte) int64 {
	answer, status := wasmgate.NativeHost().HTTPCall(record)
	return wasmgate.Fill(out, answer, status)
}
