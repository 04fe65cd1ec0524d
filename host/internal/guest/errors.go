package guest

import (
	"fmt"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// Kind is what went wrong with a guest.
type Kind string

// The kinds. Those of a call cost that call only.
const (
	KindModule  Kind = "module"  // the module was refused at load
	KindImport  Kind = "import"  // it imports what is unknown or not granted
	KindConfig  Kind = "config"  // the schema or the guest refused the config
	KindTrap    Kind = "trap"    // the guest trapped or ended itself
	KindFuel    Kind = "fuel"    // the call used up its fuel
	KindStack   Kind = "stack"   // the call recursed too deeply
	KindMemory  Kind = "memory"  // it trapped after its memory cap refused it more
	KindScratch Kind = "scratch" // the request does not fit into the guest's scratch area
	KindResult  Kind = "result"  // the result is out of bounds or no valid record
	KindBusy    Kind = "busy"    // no instance was free before the deadline, or too many wait
)

// Error is what a plugin did wrong, for the operator and the plugin's author; no client
// sees it. It unwraps to the cause.
type Error struct {
	Plugin string
	Hook   abi.Hook // 0 at load
	Kind   Kind
	Export string // the function that failed, of a plugin of another ABI
	Err    error
}

// Error names plugin, hook and kind; a trap's cause goes on with the guest's functions.
func (e *Error) Error() string {
	if e.Export != "" {
		return fmt.Sprintf("plugin %q: %s: %s: %v", e.Plugin, e.Export, e.Kind, e.Err)
	}
	if e.Hook == 0 {
		return fmt.Sprintf("plugin %q: %s: %v", e.Plugin, e.Kind, e.Err)
	}
	return fmt.Sprintf("plugin %q: hook %v: %s: %v", e.Plugin, e.Hook, e.Kind, e.Err)
}

// Busy tells that the plugin did nothing wrong: all its instances were at work.
func (e *Error) Busy() bool { return e.Kind == KindBusy }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// TrapKind is the kind, for case files.
func (e *Error) TrapKind() string { return string(e.Kind) }
