package sourcetest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Options are for [Start]. The zero value is a registry that speaks plain HTTP to anybody.
type Options struct {
	// User and Password are asked for where they are not empty.
	User, Password string
	// Cert and Key are PEM files; the registry speaks TLS with them.
	Cert, Key string
}

// Registry is a running registry.
type Registry struct {
	// Address is host:port on loopback.
	Address string

	t      testing.TB
	daemon *exec.Cmd
	ended  chan struct{}
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// Start runs a registry until the test ends. A missing program fails the test.
func Start(t testing.TB, o Options) *Registry {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Fatalf("%v: run `make setup`", err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf("version: 0.1\nlog: {level: info, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp:\n  addr: 127.0.0.1:0\n", filepath.Join(dir, "data"))
	if o.Cert != "" {
		config += fmt.Sprintf("  tls: {certificate: %q, key: %q}\n", o.Cert, o.Key)
	}
	if o.User != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(o.Password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "htpasswd"), o.User+":"+string(hash)+"\n")
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", filepath.Join(dir, "htpasswd"))
	}
	write(t, filepath.Join(dir, "config.yml"), config)
	r := &Registry{t: t, daemon: exec.Command(program, "serve", filepath.Join(dir, "config.yml")), ended: make(chan struct{})}
	r.daemon.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	out, in := io.Pipe()
	r.daemon.Stdout, r.daemon.Stderr = in, in
	if err := r.daemon.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	go r.read(out, address) // ends with the pipe, which Stop closes
	go func() {             // Stop waits for it
		_ = r.daemon.Wait() // it is killed
		in.Close()
		close(r.ended)
	}()
	t.Cleanup(r.Stop)
	select {
	case r.Address = <-address:
	case <-r.ended:
		t.Fatal("the registry ended by itself")
	case <-time.After(time.Minute):
		t.Fatal("the registry does not listen after a minute")
	}
	return r
}

// read finds the address in the registry's log, and shows the log of a failed test.
func (r *Registry) read(out io.Reader, address chan<- string) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			select {
			case address <- found[1]:
			default:
			}
		}
	}
	_, _ = io.Copy(io.Discard, out) // a line that was too long must not stop the registry
}

// Stop ends the registry: from then on it is down. It may be called more than once.
func (r *Registry) Stop() {
	_ = r.daemon.Process.Kill() // it may have ended
	<-r.ended
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
