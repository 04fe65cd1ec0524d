package model_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/model"
)

func TestParseSource(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for _, text := range []string{
		"file:x.wasm", "file:/a/b.wasm", "file:../x.wasm", "https://example.com/x.wasm", "https://example.com:8443/a/x.wasm",
		"oci://ghcr.io/acme/x:1.0", "oci://127.0.0.1:5000/x:1", "oci://[::1]:5000/x:latest", "oci://ghcr.io/a/b/c__d@sha256:" + hex,
		"oci://ghcr.io/a/b:1@sha256:" + hex,
	} {
		s, err := model.ParseSource(text)
		require.NoError(t, err, text)
		assert.Equal(t, text, s.String())
	}
	for text, want := range map[string]string{
		"":                                  "file:PATH, https",
		"x.wasm":                            "file:PATH, https",
		"http://example.com/x.wasm":         "file:PATH, https",
		"HTTPS://example.com/x":             "file:PATH, https",
		"file:":                             "without //",
		"file://x.wasm":                     "without //",
		"file:///x.wasm":                    "without //",
		"file:a b":                          "file:PATH, https",
		"file:a\nb":                         "file:PATH, https",
		"https://u:p@example.com/x":         "without user",
		"https://example.com/x?token=1":     "without user",
		"https://example.com/x?":            "without user",
		"https://example.com/x#y":           "without user",
		"https://example.com/":              "without user",
		"https://example.com":               "without user",
		"https:example.com/x":               "without user",
		"https:///x":                        "without user",
		"oci:ghcr.io/x:1":                   "oci://",
		"oci://ghcr.io/x":                   "oci://",
		"oci://ghcr.io/x:":                  "oci://",
		"oci://ghcr.io/x@":                  "oci://",
		"oci://ghcr.io/x:1@":                "oci://",
		"oci://ghcr.io/X:1":                 "oci://",
		"oci://GHCR.io/x:1":                 "oci://",
		"oci://ghcr.io/../x:1":              "oci://",
		"oci://ghcr.io//x:1":                "oci://",
		"oci://u@ghcr.io/x:1":               "oci://",
		"oci://ghcr.io/x@sha512:" + hex:     "oci://",
		"oci://ghcr.io/x@sha256:" + hex[2:]: "oci://",
		"oci://ghcr.io/x:1/../../y":         "oci://",
		"oci:///x:1":                        "oci://",
	} {
		_, err := model.ParseSource(text)
		assert.ErrorContains(t, err, want, text)
	}
	s, err := model.ParseSource("file:a/../x.wasm")
	require.NoError(t, err)
	assert.Equal(t, "file:/docs/x.wasm", s.Under("/docs").String())
	assert.Equal(t, "", model.Source{}.String())
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1": true, "127.1.2.3:80": true, "[::1]:5000": true, "::1": true, "[::1]": true,
		"": false, "localhost.example.com": false, "10.0.0.1:80": false, "example.com": false, "[::2]:1": false,
	} {
		assert.Equal(t, want, model.IsLoopback(host), host)
	}
}
