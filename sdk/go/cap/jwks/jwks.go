// Package jwks verifies token signatures with key sets that the policy grants by URL.
// The host fetches, keeps and refreshes the keys.
package jwks

import "github.com/wasmgate/wasmgate/sdk/go"

// Verify checks the signature of a compact JWS against the key set at url, or against
// that of the issuer at url. Claims are the caller's to check. [wasmgate.ErrInvalid]: the
// signature is wrong; [wasmgate.ErrNotFound]: there is no such key;
// [wasmgate.ErrUnavailable]: no keys could be had.
func Verify(url, token string) error { return wasmgate.StatusError(verify(url, token)) }
