// Package crypto computes hashes in the host, and signs with secrets that the plugin
// does not see. A plugin that only hashes does not import hmac_sha256: the linker drops
// what is not called.
package crypto

import "github.com/wasmgate/wasmgate/sdk/go"

// SHA256 is the hash of data.
func SHA256(data []byte) (sum [32]byte) {
	sha256(data, &sum)
	return sum
}

// HMACSHA256 signs data with the secret of that name, which the policy must grant.
func HMACSHA256(secret string, data []byte) (sum [32]byte, err error) {
	err = wasmgate.StatusError(hmacSHA256(secret, data, &sum))
	return sum, err
}
