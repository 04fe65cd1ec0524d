package abi

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Pack puts a manifest into a module, in the place of one that is there, and checks that the
// module's exports and imports are what it says.
func Pack(wasm, manifest []byte) ([]byte, error) {
	var small bytes.Buffer
	if err := json.Compact(&small, manifest); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	packed, err := AppendManifest(wasm, small.Bytes())
	if err != nil {
		return nil, err
	}
	m, _, err := ReadManifest(packed)
	if err != nil {
		return nil, err
	}
	module, err := Inspect(packed)
	if err != nil {
		return nil, err
	}
	return packed, module.Check(m)
}
