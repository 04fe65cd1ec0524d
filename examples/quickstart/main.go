package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/wasmgate/wasmgate/examples/quickstart/identity"
	"github.com/wasmgate/wasmgate/host"
)

type options struct {
	dir      string // of wasmgate.yaml
	gateway  string // the wasmgate binary
	upstream string // addresses that apis/quickstart.yaml names
	identity string
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "examples/quickstart", "directory of wasmgate.yaml")
	flag.StringVar(&o.gateway, "gateway", "bin/wasmgate", "the gateway's binary")
	flag.StringVar(&o.upstream, "upstream", "127.0.0.1:8081", "the upstream's address")
	flag.StringVar(&o.identity, "identity", "127.0.0.1:8082", "the identity provider's address")
	flag.Parse()

	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // the second signal ends us at once
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and returns when all that it started has stopped.
func run(ctx context.Context, o options, stdout, stderr io.Writer) error {
	config, err := host.Load(host.LoadOptions{File: filepath.Join(o.dir, "wasmgate.yaml")})
	if err != nil {
		return err
	}
	provider, err := identity.New("http://" + o.identity)
	if err != nil {
		return err
	}
	token, err := provider.Token("ann", "quickstart", 24*time.Hour, nil)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	var servers sync.WaitGroup
	defer servers.Wait()
	defer cancel()
	if err := serve(ctx, &servers, o.upstream, upstream()); err != nil {
		return err
	}
	if err := serve(ctx, &servers, o.identity, provider); err != nil {
		return err
	}

	gateway := startable(ctx, o, stderr)
	if err := gateway.Start(); err != nil {
		return fmt.Errorf("start the gateway: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- gateway.Wait() }() // received below, on every path
	ready := make(chan error, 1)
	go func() { ready <- waitReady(ctx, "http://"+config.Listen.Admin+"/readyz") }()

	select {
	case err := <-exited:
		cancel()
		<-ready
		return ended(err)
	case err := <-ready:
		if ctx.Err() != nil {
			return ended(<-exited) // interrupted before it was ready
		}
		if err != nil {
			cancel()
			return errors.Join(err, ended(<-exited))
		}
	}
	explain(stdout, "https://"+config.Listen.HTTPS, filepath.Join(config.DataDir, "ca.crt"), token)
	return ended(<-exited)
}

// serve answers on address until ctx ends.
func serve(ctx context.Context, running *sync.WaitGroup, address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %s is taken by another program: stop it, or an earlier quickstart", address)
	} else if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	running.Go(func() { _ = server.Serve(listener) }) // ErrServerClosed, when ctx ends
	return nil
}

// startable is the command a reader would type: wasmgate run --config wasmgate.yaml.
func startable(ctx context.Context, o options, stderr io.Writer) *exec.Cmd {
	gateway := exec.CommandContext(ctx, o.gateway, "run", "--config", filepath.Join(o.dir, "wasmgate.yaml"))
	gateway.Stdout, gateway.Stderr = stderr, stderr
	gateway.Cancel = func() error { return gateway.Process.Signal(syscall.SIGTERM) }
	gateway.WaitDelay = time.Minute
	// A group of its own: Ctrl-C reaches only us, or the gateway would be told twice, and
	// the second signal ends it without draining.
	gateway.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return gateway
}

// ended is the error of a gateway's exit; none when it stopped cleanly because we asked.
func ended(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("the gateway ended: %w (its log above says why)", err)
}

// waitReady returns once url answers 200. The first start compiles the plugins.
func waitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	client := http.Client{Timeout: time.Second}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", url, ctx.Err())
		case <-tick.C:
		}
	}
}

func explain(w io.Writer, url, ca, token string) {
	fmt.Fprintf(w, `
The gateway serves %[1]s. Try, in another terminal in this directory:

# public
curl --cacert %[2]s %[1]s/hello

# needs a token: without the header it answers 401
curl --cacert %[2]s -H 'Authorization: Bearer %[3]s' %[1]s/me

# throttled: three at once, then 429
curl --cacert %[2]s -s -o /dev/null -w '%%{http_code}\n' '%[1]s/limited?[1-5]'

# cached: the second answer is the first one's copy
curl --cacert %[2]s -i %[1]s/time %[1]s/time

Ctrl-C stops it.
`, url, ca, token)
}
