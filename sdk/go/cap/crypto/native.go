//go:build !wasip1

package crypto

import (
	hash "crypto/sha256"

	"github.com/wasmgate/wasmgate/sdk/go"
)

func sha256(data []byte, sum *[32]byte) { *sum = hash.Sum256(data) }

func hmacSHA256(secret string, data []byte, sum *[32]byte) (status int32) {
	*sum, status = wasmgate.NativeHost().HMACSHA256(secret, data)
	return status
}
