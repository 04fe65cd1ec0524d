// Package configure is the configure hook: the policy's config, once for each guest,
// before any other hook. Importing it makes the plugin take a config; package configjson
// decodes one into a struct.
package configure

import (
	"slices"

	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

// Config is what the policy says.
type Config struct {
	// Bytes is JSON, or the bytes of a string; the plugin's to keep.
	Bytes []byte
	// PluginID is the plugin's id.
	PluginID string
}

// Result is what the host learns. The zero value is fine.
type Result struct {
	// Identity is the selectors, such as header.authorization, that make the identity of
	// [wasmgate.ForIdentity]; none makes such results hold for nobody.
	Identity []string
	// WithoutBody is hooks by name, such as map_request, that need no body with this
	// config whatever the manifest says.
	WithoutBody []string
}

// Handle makes f the plugin's configure hook; call it once, in init. An error refuses
// the policy with its text. What f sets up it sets up anew: in native tests it is called
// again for each config.
func Handle(f func(Config) (Result, error)) {
	wasmgate.Register(wire.HookConfigure, func(q *wasmgate.Request, w *wasmgate.Writer) {
		r, err := f(Config{Bytes: slices.Clone(q.ConfigBytes()), PluginID: string([]byte(q.PluginID()))})
		if err != nil {
			w.Bytes(wire.ResultError, []byte(err.Error())) // there even when it is empty
			return
		}
		w.Names(wire.ResultIdentity, r.Identity)
		w.Names(wire.ResultWithoutBody, r.WithoutBody)
	})
}
