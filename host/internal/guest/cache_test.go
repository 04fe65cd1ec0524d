package guest_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// cached is a compilation cache with one module, and what the engines on it logged.
type cached struct {
	*testing.T
	dir  string
	wasm []byte
	log  bytes.Buffer
}

func newCached(t *testing.T) *cached {
	return &cached{T: t, dir: filepath.Join(t.TempDir(), "cache"), wasm: plugin(hook, nil, I64Const(0)).Bytes()}
}

func (c *cached) engine() *guest.Engine {
	return newEngine(c, guest.Options{CacheDir: c.dir, Logger: slog.New(slog.NewJSONHandler(&c.log, nil))})
}

// use calls the module in an engine of its own.
func (c *cached) use() {
	p := bind(c, c.engine(), c.wasm, guest.Binding{})
	_, err := p.Call(context.Background(), hook, &ask{hook: hook})
	require.NoError(c, err)
}

func (c *cached) files(sums bool) (out []string) {
	require.NoError(c, filepath.WalkDir(c.dir, func(path string, d os.DirEntry, err error) error {
		if !d.IsDir() && strings.HasSuffix(path, ".sum") == sums {
			out = append(out, path)
		}
		return err
	}))
	return out
}

func (c *cached) damage(code []byte) {
	require.NoError(c, os.WriteFile(c.files(false)[0], code, 0o600))
}

func TestCacheIsRead(t *testing.T) {
	c := newCached(t)
	c.use()
	require.Len(t, c.files(false), 1)
	require.Len(t, c.files(true), 1)
	before, err := os.Stat(c.files(false)[0])
	require.NoError(t, err)
	c.use()
	after, err := os.Stat(c.files(false)[0])
	require.NoError(t, err)
	require.Equal(t, before.ModTime(), after.ModTime(), "not written again")
	require.Empty(t, c.log.String())
}

// A gateway that compiles ever new modules does not keep all of them for ever.
func TestCacheOfManyFiles(t *testing.T) {
	c := newCached(t)
	engine := c.engine()
	old := time.Now().Add(-time.Hour)
	for i := range 2000 {
		file := filepath.Join(c.dir, fmt.Sprint(i))
		require.NoError(t, os.WriteFile(file, []byte("code"), 0o600))
		require.NoError(t, os.Chtimes(file, old, old))
	}
	p := bind(c, engine, c.wasm, guest.Binding{})
	_, err := p.Call(context.Background(), hook, &ask{hook: hook})
	require.NoError(t, err)
	require.Len(t, c.files(false), 1001)
	require.Len(t, c.files(true), 1001)
	require.Empty(t, c.log.String())
	_, err = os.Stat(c.files(false)[1000]) // the new one, in a folder of wazero's
	require.NoError(t, err)
	require.NotEqual(t, c.dir, filepath.Dir(c.files(false)[1000]))
}

func TestDamagedCache(t *testing.T) {
	c := newCached(t)
	c.use()
	code, err := os.ReadFile(c.files(false)[0])
	require.NoError(t, err)
	for i := 0; i < len(code); i += 97 { // also bytes that wazero does not check
		bad := bytes.Clone(code)
		bad[i] ^= 1
		c.damage(bad)
		c.use()
	}
	c.damage(nil)
	c.use()
	require.Empty(t, c.log.String())
}

func TestCacheThatFailsMeanwhile(t *testing.T) {
	c := newCached(t)
	c.use()
	e := c.engine()
	c.damage([]byte("damaged"))
	bind(t, e, c.wasm, guest.Binding{})
	require.Contains(t, c.log.String(), "emptied")
	c.log.Reset()
	e = c.engine()
	require.NoError(t, os.RemoveAll(c.dir)) // nothing can be kept
	bind(t, e, c.wasm, guest.Binding{})
	require.NotEmpty(t, c.log.String())
	e = c.engine()
	bind(t, e, c.wasm, guest.Binding{})
	_, err := e.Compile(context.Background(), "bad", plugin(hook, nil, I32Const(1)).Bytes())
	require.Error(t, err)
	require.Len(t, c.files(false), 1, "a faulty module does not cost the others their code")
}

func TestCacheThatCannotBeUsed(t *testing.T) {
	c := newCached(t)
	c.use()
	require.NoError(t, os.Chmod(c.dir, 0o777))
	c.use()
	require.Contains(t, c.log.String(), "may be written by others")
	c.dir = filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(c.dir, nil, 0o600))
	c.log.Reset()
	c.use()
	require.Contains(t, c.log.String(), "without a cache")
}
