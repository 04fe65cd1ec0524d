package guest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

const testManifest = `{"id":"test","version":"1","abi":1,"hooks":{"guard":{"body":{"mode":"full","max":100}}},
	"config_schema":{"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},"n":{"type":"integer"}}}}`

// configured is a plugin with the manifest, of which wg_configure answers what write writes.
func configured(t *testing.T, write func(w *abi.Writer[abi.ResultField])) []byte {
	var w abi.Writer[abi.ResultField]
	answer := make([]byte, 512)
	w.Start(answer, abi.HookConfigure, 3)
	write(&w)
	n, err := w.Finish()
	require.NoError(t, err)
	m := plugin(hook, nil, I64Const(0))
	m.Data(8192, answer[:n])
	m.Export("wg_configure", m.Func(hookType, nil, packed(8192, int64(n))))
	m.Custom(abi.ManifestSection, []byte(testManifest))
	return m.Bytes()
}

func TestConfig(t *testing.T) {
	e := newEngine(t, guest.Options{})
	try := func(wasm []byte, config string) (*guest.Policy, error) {
		m, err := e.Compile(context.Background(), "test", wasm)
		require.NoError(t, err)
		defer m.Release()
		p, err := e.Bind(context.Background(), m, guest.Binding{Name: "test", Config: []byte(config)})
		if err == nil {
			t.Cleanup(p.Close)
		}
		return p, err
	}
	good := configured(t, func(w *abi.Writer[abi.ResultField]) {
		w.Names(abi.ResultIdentity, []string{"header.x-api-key", "source_ip"})
		w.Names(abi.ResultWithoutBody, []string{"guard"})
	})
	p, err := try(good, `{"name":"x"}`)
	require.NoError(t, err)
	require.Equal(t, []string{"header.x-api-key", "source_ip"}, p.Identity())
	require.Equal(t, abi.Mask{}, p.Mask(hook))
	for config, wants := range map[string][]string{
		`{"n":"many","z":1}`: {"config: ", "/n", "name", "'z'"},
		"no JSON":            {"want object"},
	} {
		_, err = try(good, config)
		var fault *guest.Error
		require.ErrorAs(t, err, &fault)
		require.Equal(t, guest.KindConfig, fault.Kind)
		for _, want := range wants {
			require.ErrorContains(t, err, want)
		}
	}
	for want, write := range map[string]func(w *abi.Writer[abi.ResultField]){
		"config: issuer is empty": func(w *abi.Writer[abi.ResultField]) { w.String(abi.ResultError, "issuer is empty") },
		"result: identity":        func(w *abi.Writer[abi.ResultField]) { w.Names(abi.ResultIdentity, []string{"shoe_size"}) },
		"result: without_body":    func(w *abi.Writer[abi.ResultField]) { w.Names(abi.ResultWithoutBody, []string{"observe"}) },
	} {
		_, err = try(configured(t, write), `{"name":"x"}`)
		require.ErrorContains(t, err, want)
	}
}

func TestBadSchemas(t *testing.T) {
	e := newEngine(t, guest.Options{})
	for old, bad := range map[string]string{
		`"object"`:         `"thing"`,
		`"type":"integer"`: `"$ref":"file:///etc/passwd"`,
	} {
		m := plugin(hook, nil, I64Const(0))
		m.Custom(abi.ManifestSection, []byte(strings.Replace(testManifest, old, bad, 1)))
		_, err := e.Compile(context.Background(), "test", m.Bytes())
		require.ErrorContains(t, err, "config schema")
	}
}

func TestModuleWithoutManifest(t *testing.T) {
	p := bind(t, newEngine(t, guest.Options{}), plugin(hook, nil, I64Const(0)).Bytes(), guest.Binding{})
	require.Equal(t, abi.DefaultMask(hook), p.Mask(hook))
	require.Empty(t, p.Identity())
	require.Equal(t, abi.Mask{}, p.Mask(99))
}
