package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCommitted wants the committed guests to be what their sources compile to, by the
// tools of Debian 12: wabt 1.0.32, clang and lld 14.
func TestCommitted(t *testing.T) {
	const committed = "../../guests"
	dir := t.TempDir()
	require.NoError(t, compileAll(t.Context(), committed, dir))
	want, err := filepath.Glob(committed + "/*.wasm")
	require.NoError(t, err)
	got, err := filepath.Glob(dir + "/*.wasm")
	require.NoError(t, err)
	assert.Len(t, got, len(want), "guests without a source, or sources not compiled: run `make conformance-guests`")
	for _, file := range want {
		w, err := os.ReadFile(file)
		require.NoError(t, err)
		g, err := os.ReadFile(filepath.Join(dir, filepath.Base(file)))
		require.NoError(t, err)
		assert.Equal(t, w, g, "%s is not what its source compiles to: run `make conformance-guests`", file)
	}
}

func TestRefusals(t *testing.T) {
	for name, text := range map[string]string{"bad.hex": "0x61", "bad.wat": "(module", "bad.c": "int", "nobody.json": "{}"} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		assert.Error(t, compileAll(t.Context(), dir, t.TempDir()), name)
	}
}
