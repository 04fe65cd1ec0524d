package abi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Pack puts a manifest into a module, in the place of one that is there, and checks that the
// module's exports and imports are what it says. Debug information is left out: hosts read
// none of it, and it names folders of who compiled. Function names stay, for traps.
func Pack(wasm, manifest []byte) ([]byte, error) {
	var small bytes.Buffer
	if err := json.Compact(&small, manifest); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	list, err := sections(wasm)
	if err != nil {
		return nil, fmt.Errorf("pack module: %w", err)
	}
	lean := slices.Clone(wasm[:8])
	for _, s := range list {
		if !s.debug() {
			lean = append(lean, s.all...)
		}
	}
	packed, err := AppendManifest(lean, small.Bytes())
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

// debug tells whether a section is one of DWARF's, or says where a source map is.
func (s section) debug() bool {
	if s.id != sectionCustom {
		return false
	}
	r := reader{b: s.body}
	name := r.name()
	return r.err == nil && (strings.HasPrefix(name, ".debug_") || name == "sourceMappingURL")
}
