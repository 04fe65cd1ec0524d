//go:build !wasip1

package jwks

import "github.com/wasmgate/wasmgate/sdk/go"

func verify(url, token string) int32 { return wasmgate.NativeHost().JWKSVerify(url, token) }
