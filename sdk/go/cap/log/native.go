//go:build !wasip1

package log

import "github.com/wasmgate/wasmgate/sdk/go"

func write(level int32, line string) { wasmgate.NativeHost().Log(level, line) }
