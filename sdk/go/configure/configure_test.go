//go:build !wasip1

package configure_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/configjson"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/internal/wire"
)

type config struct {
	Issuer string `json:"issuer"`
}

func TestJSONConfig(t *testing.T) {
	var got config
	configjson.Handle(func(c *config) (configure.Result, error) {
		if got = *c; c.Issuer == "" {
			return configure.Result{}, errors.New("") // an error without text refuses, too
		}
		return configure.Result{Identity: []string{"source_ip"}}, nil
	})
	for _, test := range []struct {
		config, want string
		refused      bool
	}{
		{config: `{"issuer": "a"}`, want: "source_ip"},
		{config: `{"isuer": "a"}`, want: `unknown field "isuer"`, refused: true},
		{config: `{"issuer": "a"} {}`, want: "text after the JSON value", refused: true},
		{config: ``, want: "EOF", refused: true},
		{config: `{}`, want: "", refused: true},
	} {
		out := wasmgate.Call(wire.HookConfigure, record(test.config))
		id := binary.LittleEndian.Uint16(out[wire.HeaderBytes:])
		if (id == wire.ResultError) != test.refused || !bytes.Contains(out, []byte(test.want)) {
			t.Errorf("%s: result %q, want %q, refused %t", test.config, out, test.want, test.refused)
		}
	}
	if got.Issuer != "" {
		t.Errorf("a config was kept from an earlier call: %+v", got)
	}
}

// record is a request of configure with that config.
func record(config string) []byte {
	b := make([]byte, wire.HeaderBytes+wire.EntryBytes)
	little := binary.LittleEndian
	little.PutUint32(b, wire.Magic)
	little.PutUint16(b[4:], wire.Version)
	little.PutUint16(b[6:], 1)
	little.PutUint32(b[8:], uint32(len(b)+len(config)))
	little.PutUint16(b[12:], wire.HookConfigure)
	little.PutUint16(b[16:], wire.FieldConfig)
	little.PutUint16(b[18:], wire.TypeBytes)
	little.PutUint32(b[20:], uint32(len(b)))
	little.PutUint32(b[24:], uint32(len(config)))
	return append(b, config...)
}
