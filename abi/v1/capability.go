package abi

import "iter"

// Capability is one power outside the guest's own memory: one import. 0 is none.
type Capability uint16

type capability struct {
	module, name    string
	params, results []string
	grant, power    string
}

// Capabilities is every capability of this version.
func Capabilities() iter.Seq[Capability] {
	return func(yield func(Capability) bool) {
		for c := Capability(1); int(c) < len(capabilityTable); c++ {
			if !yield(c) {
				return
			}
		}
	}
}

// CapabilityOf is the capability behind an import; false when there is none.
func CapabilityOf(module, name string) (Capability, bool) {
	for c := range Capabilities() {
		if e := &capabilityTable[c]; e.module == module && e.name == name {
			return c, true
		}
	}
	return 0, false
}

// knownModule tells whether a capability has that import module.
func knownModule(module string) bool {
	for c := range Capabilities() {
		if capabilityTable[c].module == module {
			return true
		}
	}
	return false
}

// Module is the import module, such as wasmgate.kv.v1.
func (c Capability) Module() string { return capabilityTable[c].module }

// Name is the import name, such as get.
func (c Capability) Name() string { return capabilityTable[c].name }

// Params is the Wasm types of the parameters: i32 or i64. Not to be changed.
func (c Capability) Params() []string { return capabilityTable[c].params }

// Results is the Wasm types of the results. Not to be changed.
func (c Capability) Results() []string { return capabilityTable[c].results }

// Grant is the key in a policy's grants that bounds the capability; empty when it is
// always granted.
func (c Capability) Grant() string { return capabilityTable[c].grant }

// Power says in plain words what a plugin with this import may do; it follows "the plugin".
func (c Capability) Power() string { return capabilityTable[c].power }

// String is module and name.
func (c Capability) String() string { return c.Module() + " " + c.Name() }
