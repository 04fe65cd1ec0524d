package guest_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	var b bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&b, nil))
	wasm := plugin(hook, nil, I64Const(0)).Bytes()
	use := func() {
		e, err := guest.New(context.Background(), guest.Options{CacheDir: dir, Logger: log})
		require.NoError(t, err)
		defer func() { require.NoError(t, e.Close(context.Background())) }()
		p := bind(t, e, wasm, guest.Binding{})
		_, err = p.Call(context.Background(), hook, &ask{hook: hook})
		require.NoError(t, err)
	}
	files := func(suffix bool) (out []string) {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if !d.IsDir() && strings.HasSuffix(path, ".sum") == suffix {
				out = append(out, path)
			}
			return err
		}))
		return out
	}
	use()
	require.Len(t, files(false), 1)
	require.Len(t, files(true), 1)
	before, err := os.Stat(files(false)[0])
	require.NoError(t, err)
	use()
	after, err := os.Stat(files(false)[0])
	require.NoError(t, err)
	require.Equal(t, before.ModTime(), after.ModTime(), "read, not written again")
	code, err := os.ReadFile(files(false)[0])
	require.NoError(t, err)
	for i := range code { // each byte, so also those that wazero does not check
		if i%97 != 0 {
			continue
		}
		bad := bytes.Clone(code)
		bad[i] ^= 1
		require.NoError(t, os.WriteFile(files(false)[0], bad, 0o600))
		use()
	}
	require.NoError(t, os.WriteFile(files(false)[0], nil, 0o600))
	use()
	require.Empty(t, b.String())
	// Damaged while the engine runs.
	e := newEngine(t, guest.Options{CacheDir: dir, Logger: log})
	require.NoError(t, os.WriteFile(files(false)[0], []byte("damaged"), 0o600))
	bind(t, e, wasm, guest.Binding{})
	require.Contains(t, b.String(), "emptied")
	b.Reset()
	// Gone while the engine runs: nothing can be kept.
	e = newEngine(t, guest.Options{CacheDir: dir, Logger: log})
	require.NoError(t, os.RemoveAll(dir))
	bind(t, e, wasm, guest.Binding{})
	require.NotEmpty(t, b.String())
	b.Reset()
	// A faulty module does not cost the others their code.
	e = newEngine(t, guest.Options{CacheDir: dir, Logger: log})
	bind(t, e, wasm, guest.Binding{})
	bad := plugin(hook, nil, I32Const(1))
	_, err = e.Compile(context.Background(), "bad", bad.Bytes())
	require.Error(t, err)
	require.Len(t, files(false), 1)
	require.NoError(t, os.Chmod(dir, 0o777))
	use()
	require.Contains(t, b.String(), "may be written by others")
	b.Reset()
	dir = filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	use()
	require.Contains(t, b.String(), "without a cache")
}
