package httpwasm

import (
	"errors"
	"fmt"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// Name is the interface's name, for people.
const Name = "http-wasm"

const (
	hostModule = "http_handler"

	onRequest  = "handle_request"
	onResponse = "handle_response"
	// A reactor is initialized, a command is run to its end.
	initialize = "_initialize"
	run        = "_start"
)

// exports are what the host calls, with their types.
var exports = map[string]guest.Signature{
	onRequest:  {Params: "", Results: "I"},
	onResponse: {Params: "ii", Results: ""},
	initialize: {},
	run:        {},
}

// ABI is the interface as the engine serves it to modules; see [guest.Options].
func ABI() *guest.ABI {
	a := &guest.ABI{Name: Name, Module: hostModule, Functions: map[string]guest.HostFunction{}, Match: matches, Check: check}
	for name, f := range functions() {
		a.Functions[name] = guest.HostFunction{Signature: f.Signature, Power: f.power,
			Call: func(b *guest.Sandbox, words []uint64) {
				v := b.Data.(*vm)
				v.box = b // a start function calls before the instance is there
				f.call(v, words)
			}}
	}
	return a
}

// matches tells a module for http-wasm by what it exports: it need not import anything. One
// that only imports is matched too, so that check can say what it lacks.
func matches(m *abi.Module) bool {
	found := 0
	for _, e := range m.Exports {
		switch e.Name {
		case abi.Marker:
			return false
		case onRequest, onResponse:
			found++
		}
	}
	for _, i := range m.Imports {
		if i.Module == hostModule {
			return true
		}
	}
	return found == 2
}

// check refuses a module whose exports are not those of a handler; every fault is in the
// error.
func check(got map[string]guest.Signature) error {
	var faults []error
	for _, name := range [...]string{onRequest, onResponse, initialize, run} {
		want := exports[name]
		switch s, ok := got[name]; {
		case !ok && (name == onRequest || name == onResponse):
			faults = append(faults, fmt.Errorf("no export %q of a function %s", name, want))
		case ok && s != want:
			faults = append(faults, fmt.Errorf("export %q is %s, want %s", name, s, want))
		}
	}
	return errors.Join(faults...)
}

// IsCallback tells whether an export is one that takes part in requests.
func IsCallback(export string) bool { return export == onRequest || export == onResponse }

// features are what a guest may ask for.
type features uint32

const (
	bufferRequest features = 1 << iota
	bufferResponse
	trailers

	allFeatures = bufferRequest | bufferResponse | trailers
)

// Levels of the log, as http-wasm numbers them.
const (
	logDebug = -1
	logInfo  = 0
	logWarn  = 1
	logError = 2
)
