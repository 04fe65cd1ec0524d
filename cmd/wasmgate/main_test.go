package main

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"wasmgate": main})
}

// The scripts in testdata call the command as a user does.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup:               chooseAddresses,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"isready": isReady,
			"awaits":  awaits,
			"listens": listens,
		},
	})
}

// chooseAddresses lets each script's gateway listen where nobody else does, by environment.
func chooseAddresses(env *testscript.Env) error {
	builtin, err := filepath.Abs("builtin")
	if err != nil {
		return err
	}
	env.Setenv("BUILTIN", builtin)
	for _, name := range []string{"HTTPS", "HTTP", "ADMIN", "REGISTRY"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer listener.Close() // all are held until the last is chosen
		env.Setenv(name, listener.Addr().String())
		if name != "REGISTRY" {
			env.Setenv("WASMGATE_LISTEN__"+name, listener.Addr().String())
		}
	}
	return copyPlugin(filepath.Join(env.WorkDir, "cors.wasm"))
}

// copyPlugin gives scripts a module to ship.
func copyPlugin(to string) error {
	builtins, err := builtinPlugins()
	if err != nil {
		return err
	}
	wasm, err := fs.ReadFile(builtins, "cors.wasm")
	if err != nil {
		return err
	}
	return os.WriteFile(to, wasm, 0o600)
}

// listens ADDRESS waits until somebody does.
func listens(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listens ADDRESS")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		if c, err := net.Dial("tcp", args[0]); err == nil {
			c.Close()
			return
		}
	}
	ts.Fatalf("nobody listens on %s after a minute", args[0])
}

// What the documentation tells to type is what the scripts run.
func TestDocumentedReplay(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	script, err := os.ReadFile("testdata/replay.txtar")
	require.NoError(t, err)
	found := 0
	for line := range strings.Lines(string(readme)) {
		command, _, _ := strings.Cut(line, "#")
		if strings.HasPrefix(command, "wasmgate plugin replay") {
			found++
			require.Contains(t, string(script), "exits 0 "+strings.TrimSpace(command)+"\n", "it is not run in testdata/replay.txtar")
		}
	}
	require.Equal(t, 4, found)
}

// exits CODE COMMAND... runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// isready waits until the gateway on $ADMIN is ready.
func isReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: isready")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		resp, err := http.Get("http://" + ts.Getenv("ADMIN") + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	ts.Fatalf("the gateway is not ready after a minute")
}

// awaits N PATTERN waits until there are that many files.
func awaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: awaits N PATTERN")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		found, err := filepath.Glob(ts.MkAbs(args[1]))
		ts.Check(err)
		if len(found) >= want {
			return
		}
	}
	ts.Fatalf("there are no %d files %s after a minute", want, args[1])
}

// Each plugin in plugins/ must be inside: a binary that lacks one refuses the documents
// that name it.
func TestEveryPluginIsBuiltIn(t *testing.T) {
	builtins, err := builtinPlugins()
	require.NoError(t, err)
	manifests, err := filepath.Glob("../../plugins/*/manifest.json")
	require.NoError(t, err)
	require.NotEmpty(t, manifests)
	for _, manifest := range manifests {
		id := filepath.Base(filepath.Dir(manifest))
		_, err := fs.Stat(builtins, id+".wasm")
		require.NoError(t, err, "run `make plugins`")
	}
}

func TestSettings(t *testing.T) {
	s := settings{}
	require.NoError(t, s.Set("upstreams.allow=a,b=c"))
	require.Equal(t, settings{"upstreams.allow": "a,b=c"}, s)
	for _, bad := range []string{"", "key", "=value"} {
		require.Error(t, s.Set(bad), bad)
	}
}

func TestFingerprint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(file, []byte("no certificate"), 0o600))
	_, err := fingerprint(file)
	require.ErrorContains(t, err, "no PEM certificate")

	key, cert := filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "crt")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-subj", "/CN=test", "-keyout", key, "-out", cert).CombinedOutput()
	require.NoError(t, err, string(out))
	want, err := exec.Command("openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256").Output()
	require.NoError(t, err)
	got, err := fingerprint(cert)
	require.NoError(t, err)
	_, hex, _ := strings.Cut(strings.TrimSpace(string(want)), "=")
	require.Equal(t, hex, got)
}

// What the gateway answers must read well and keep its order.
func TestWriteText(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, writeText(&out, []byte(`{"ready":true,"apis":[{"id":"pets","routes":2}],"error":""}`)))
	require.Equal(t, "ready: true\napis:\n  - id: pets\n    routes: 2\nerror: \"\"\n", out.String())
}
