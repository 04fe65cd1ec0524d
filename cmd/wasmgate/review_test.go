package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReview follows REVIEW.md beside a gateway that runs.
func TestReview(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"plugins", "apis"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	// A plugin under an id of its own, and an older version of it.
	older, err := os.ReadFile("builtin/cors.wasm")
	require.NoError(t, err)
	newer := bytes.Replace(older, []byte(`"id":"cors"`), []byte(`"id":"door"`), 1)
	require.False(t, bytes.Equal(older, newer))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plugins/door.wasm"), newer, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "door-1.0.wasm"), older, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wasmgate.yaml"), nil, 0o644))
	serveBeside(t, dir)
	out := follow(t, dir, blocks(t, "../../REVIEW.md", "A plugin"))
	require.Contains(t, out, "What it can do outside its own memory (all of it)")
	require.Contains(t, out, "no new power")
	out = follow(t, dir, blocks(t, "../../REVIEW.md", "A gateway"))
	require.Contains(t, out, "BOUND TO")
	out = follow(t, dir, blocks(t, "../../REVIEW.md", "What was changed"))
	require.Contains(t, out, "the hash is right")
	require.Contains(t, out, "the end is what the running gateway tells")
	require.NotContains(t, out, "was cut off")
}

// serveBeside runs a gateway on the files of dir until the test ends.
func serveBeside(t *testing.T, dir string) {
	t.Helper()
	admin := ""
	var held []net.Listener // until the last is chosen
	for _, name := range []string{"HTTPS", "HTTP", "ADMIN"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		held, admin = append(held, l), l.Addr().String()
		t.Setenv("WASMGATE_LISTEN__"+name, admin)
	}
	for _, l := range held {
		require.NoError(t, l.Close())
	}
	cmd := exec.CommandContext(context.Background(), "wasmgate", "run")
	cmd.Dir = dir
	var log strings.Builder
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait(), log.String())
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		if resp, err := http.Get("http://" + admin + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	t.Fatalf("the gateway is not ready after a minute: %s", log.String())
}
