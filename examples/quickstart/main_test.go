package main

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// quickstart is the example in a copy of its directory, on ports of the kernel's choice.
type quickstart struct {
	command *exec.Cmd
	curls   []string // the lines that it printed
	log     *bytes.Buffer
	ports   []string
}

func start(t *testing.T) *quickstart {
	t.Helper()
	dir := t.TempDir()
	build(t, filepath.Join(dir, "wasmgate"), "../../cmd/wasmgate")
	build(t, filepath.Join(dir, "quickstart"), ".")
	q := &quickstart{log: new(bytes.Buffer), ports: freeAddresses(t, 5)}
	moved := strings.NewReplacer("127.0.0.1:8443", q.ports[0], "127.0.0.1:8080", q.ports[1],
		"127.0.0.1:9443", q.ports[2], "127.0.0.1:8081", q.ports[3], "127.0.0.1:8082", q.ports[4])
	for _, name := range []string{"wasmgate.yaml", "apis/quickstart.yaml"} {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(moved.Replace(string(data))), 0o644))
	}
	q.command = exec.Command(filepath.Join(dir, "quickstart"), "-dir", dir, "-gateway", filepath.Join(dir, "wasmgate"),
		"-upstream", q.ports[3], "-identity", q.ports[4])
	q.command.Stderr = q.log
	stdout, err := q.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, q.command.Start())
	t.Cleanup(func() { _ = q.command.Process.Kill() }) // does nothing after stop
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "curl ") {
			q.curls = append(q.curls, lines.Text())
		}
		if strings.HasPrefix(lines.Text(), "Ctrl-C") {
			return q
		}
	}
	_ = q.command.Wait()
	t.Fatalf("the quickstart ended before it was ready:\n%s", q.log)
	return nil
}

// stop does what Ctrl-C does.
func (q *quickstart) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, q.command.Process.Signal(os.Interrupt))
	exited := make(chan error, 1)
	go func() { exited <- q.command.Wait() }() // received here, or the test fails
	select {
	case err := <-exited:
		require.NoError(t, err, q.log.String())
	case <-time.After(time.Minute):
		t.Fatal("the quickstart did not stop within a minute of SIGINT")
	}
	for _, address := range q.ports {
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err, "%s must be free after the quickstart stopped", address)
		listener.Close()
	}
}

func TestTheFourCurls(t *testing.T) {
	q := start(t)
	require.Len(t, q.curls, 4)
	public, token, throttled, cached := q.curls[0], q.curls[1], q.curls[2], q.curls[3]

	require.Contains(t, shell(t, public), `"path":"/hello"`)

	require.Contains(t, shell(t, token), `"user":"ann"`)
	without := regexp.MustCompile(`-H '[^']*'`).ReplaceAllString(token, "")
	require.Regexp(t, `^HTTP/2 401 \r\n`, shell(t, without+" -i"))
	broken := strings.Replace(token, "Bearer ey", "Bearer eY", 1)
	require.Regexp(t, `^HTTP/2 401 \r\n`, shell(t, broken+" -i"))

	codes := strings.Fields(shell(t, throttled))
	require.Len(t, codes, 5)
	require.Equal(t, []string{"200", "200", "200"}, codes[:3])
	require.Equal(t, "429", codes[4]) // the fourth passes when the first three took a second

	first, second, _ := strings.Cut(shell(t, cached), "}\n")
	at := regexp.MustCompile(`"time":"[^"]+"`)
	require.NotEmpty(t, at.FindString(first))
	require.Equal(t, at.FindString(first), at.FindString(second))
	require.Regexp(t, `(?i)cache-status: \S+; hit`, second)
	require.Contains(t, first, "x-served-by: wasmgate")
	q.stop(t)
}

// A port that is taken must be named, and nothing may stay behind.
func TestTakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	address := taken.Addr().String()
	err = run(t.Context(), options{dir: ".", gateway: "never started", upstream: address, identity: "127.0.0.1:0"}, os.Stdout, os.Stderr)
	require.ErrorContains(t, err, "port "+address+" is taken")
}

// A gateway that ends before it serves must end the quickstart with an error.
func TestGatewayThatEnds(t *testing.T) {
	err := run(t.Context(), options{dir: ".", gateway: "false", upstream: "127.0.0.1:0", identity: "127.0.0.1:0"}, os.Stdout, os.Stderr)
	require.ErrorContains(t, err, "the gateway ended: exit status 1")
}

// Interrupting it before it is ready is no error.
func TestInterruptedEarly(t *testing.T) {
	dir := t.TempDir()
	gateway := filepath.Join(dir, "gateway")
	require.NoError(t, os.WriteFile(gateway, []byte("#!/bin/sh\ntrap 'exit 0' TERM\ntouch \"$0.started\"\nwhile :; do sleep 0.05; done\n"), 0o755))
	build(t, filepath.Join(dir, "quickstart"), ".")
	ports := freeAddresses(t, 2)
	command := exec.Command(filepath.Join(dir, "quickstart"), "-dir", ".", "-gateway", gateway, "-upstream", ports[0], "-identity", ports[1])
	require.NoError(t, command.Start())
	require.Eventually(t, func() bool {
		_, err := os.Stat(gateway + ".started")
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, command.Process.Signal(syscall.SIGTERM))
	require.NoError(t, command.Wait())
}

func build(t *testing.T, binary, pkg string) {
	t.Helper()
	out, err := exec.Command("go", "build", "-o", binary, pkg).CombinedOutput()
	require.NoError(t, err, string(out))
}

func shell(t *testing.T, line string) string {
	t.Helper()
	command := exec.Command("sh", "-c", line)
	var errors bytes.Buffer
	command.Stderr = &errors
	out, err := command.Output()
	require.NoError(t, err, "%s\n%s", line, errors.String())
	return string(out)
}

// freeAddresses is n loopback addresses that were free a moment ago.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	addresses := make([]string, n)
	for i := range addresses {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer listener.Close() // all are held until the last is chosen
		addresses[i] = listener.Addr().String()
	}
	return addresses
}
