// Package configjson is the configure hook with the config decoded into a struct. It
// costs what encoding/json costs, about a MB of module and a slow start; a plugin that
// must be small reads the bytes itself.
package configjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/wasmgate/wasmgate/sdk/go/configure"
)

// Handle makes f the plugin's configure hook; call it once, in init. A config that does
// not decode into T, or has keys that T has not, refuses the policy.
func Handle[T any](f func(config *T) (configure.Result, error)) {
	configure.Handle(func(c configure.Config) (configure.Result, error) {
		config := new(T)
		d := json.NewDecoder(bytes.NewReader(c.Bytes))
		d.DisallowUnknownFields()
		if err := d.Decode(config); err != nil {
			return configure.Result{}, errors.New("read config: " + err.Error())
		}
		if _, err := d.Token(); err != io.EOF {
			return configure.Result{}, errors.New("read config: text after the JSON value")
		}
		return f(config)
	})
}
