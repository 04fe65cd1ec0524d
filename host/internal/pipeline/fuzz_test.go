package pipeline_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
)

// FuzzResult has a guest give any bytes as the result of a hook: what comes of a request is an
// answer that can be written, and the upstream is asked for nothing that cannot.
func FuzzResult(f *testing.F) {
	for _, name := range []string{"results.json", "malformed.json"} {
		text, err := os.ReadFile("../../../abi/v1/vectors/" + name)
		require.NoError(f, err)
		var list []struct{ Hook, Hex string }
		require.NoError(f, json.Unmarshal(text, &list))
		for _, v := range list {
			b, err := hex.DecodeString(v.Hex)
			require.NoError(f, err)
			h, _ := abi.HookByName(v.Hook)
			f.Add(uint8(h), b)
		}
	}
	var log bytes.Buffer
	b := newBench(f)
	b.p = pipeline.New(pipeline.Options{Observer: b.obs, Log: slog.New(slog.NewTextHandler(&log, nil))})
	f.Fuzz(func(t *testing.T, n uint8, result []byte) {
		h := abi.Hook(n)
		if h.Export() == "" || h == abi.HookConfigure {
			return
		}
		log.Reset()
		b.t, b.up.last, b.up.header = t, pipeline.UpstreamCall{}, nil
		b.route(&plugin{raw: map[abi.Hook]func() ([]byte, error){h: func() ([]byte, error) { return result, nil }}}, callUpstream())
		for range 2 { // a result may hold for the second, too
			a := b.ask(question{method: "POST", query: "a=1&b", header: []string{"x-one", "1", "cookie", "a=b"}, body: "body"})
			require.True(t, a.status >= 200 && a.status <= 599, "status %d", a.status)
			delete(a.header, "x-amzn-requestid") // the bench's exchanges have none
			for name, value := range a.header {
				writable(t, name, value)
			}
			c := b.up.last
			for _, text := range []string{c.Method, c.Target, c.Authority} {
				require.False(t, strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }), "%q", text)
			}
			for name, value := range b.up.header {
				writable(t, name, value)
			}
		}
		require.NotContains(t, log.String(), "panicked")
	})
}

// writable wants a field that can stand in a message (RFC 9110 5.1 and 5.5).
func writable(t *testing.T, name, value string) {
	t.Helper()
	require.NotEmpty(t, name)
	require.False(t, strings.ContainsAny(name, " \t\r\n:\x00\"(),/;<=>?@[]{}\\"), "%q", name)
	require.False(t, strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }), "%q: %q", name, value)
}
