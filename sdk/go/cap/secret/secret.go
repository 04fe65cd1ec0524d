// Package secret reads secrets that the policy grants by name. A plugin that only signs
// wants package crypto, which does not show it the key.
package secret

import "github.com/wasmgate/wasmgate/sdk/go"

// Get appends the secret to dst. [wasmgate.ErrNotGranted] when the policy does not grant
// that name, [wasmgate.ErrNotFound] when there is none.
func Get(dst []byte, name string) ([]byte, error) {
	return wasmgate.Fetch(dst, func(out []byte) int64 { return get(name, out) })
}
