package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// peer is a gateway that can be put under load. All of them serve TLS with the same
// certificate, HTTP/1.1 and HTTP/2, pass /256, /16k and /1m to the upstream over
// keep-alive connections, serve /cached/256 from a cache where they have one, and log no
// access.
type peer struct {
	name string
	// policies says which decisions it makes for a request.
	policies string
	// binary is the program's name, "" for one that prepare builds.
	binary string
	// file and config are its configuration: a template with the fields of place.
	file, config string
	// prepare makes what config does not say; nil is nothing.
	prepare func(ctx context.Context, b *bench, at *place) error
	// argv starts it, after the binary; templates like config.
	argv []string
	// env is more of its environment; templates like config.
	env []string
}

// place is where one running peer lives.
type place struct {
	*bench
	Dir, Binary    string
	Port, Admin    int
	Upstream       string
	Cert, Key, PEM string
	Workers, Pool  int
	Root           bool
	Issuer         string
	Wasm           string // guest of the peer
	Extra          string // plugin of the route /reloaded
}

// UpstreamPort is the upstream's port alone, for Envoy.
func (at *place) UpstreamPort() string {
	_, port, _ := strings.Cut(at.Upstream, ":")
	return port
}

// running is a peer under load.
type running struct {
	*process
	peer  *peer
	place *place
}

// target is the URL of path at r with the headers that each request has at every peer.
func (r *running) target(path string) target {
	return target{
		URL:     fmt.Sprintf("https://127.0.0.1:%d%s", r.place.Port, path),
		Headers: []string{"Authorization: Bearer " + r.place.token},
	}
}

// startPeer starts p in a directory of its own and waits until it serves. The error is a
// missing when the program is not there.
func (b *bench) startPeer(ctx context.Context, p *peer) (*running, error) {
	dir, err := os.MkdirTemp(b.dir, strings.ReplaceAll(p.name, " ", "-")+"-")
	if err != nil {
		return nil, err
	}
	port, err1 := freePort()
	admin, err2 := freePort()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	at := &place{bench: b, Dir: dir, Port: port, Admin: admin, Upstream: b.upstream.address(), Cert: b.certFile,
		Key: b.keyFile, PEM: b.pemFile, Workers: b.workers, Pool: b.connections, Root: os.Getuid() == 0, Issuer: b.issuer}
	if p.binary != "" {
		if at.Binary, err = b.find(p.binary); err != nil {
			return nil, err
		}
	}
	if p.prepare != nil {
		if err := p.prepare(ctx, b, at); err != nil {
			return nil, err
		}
	}
	return b.startAt(ctx, p, at)
}

// startAt starts p where it was prepared, and waits until it serves.
func (b *bench) startAt(ctx context.Context, p *peer, at *place) (*running, error) {
	if p.file != "" {
		text, err := at.fill(p.config)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(at.Dir, p.file), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	argv, env := []string{at.Binary}, []string{}
	for _, list := range []struct {
		from []string
		to   *[]string
	}{{p.argv, &argv}, {p.env, &env}} {
		for _, text := range list.from {
			filled, err := at.fill(text)
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, filled)
		}
	}
	child, err := startProcess(ctx, p.name, argv, env...)
	if err != nil {
		return nil, err
	}
	r := &running{child, p, at}
	if err := b.waitServing(ctx, r); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (at *place) fill(text string) (string, error) {
	t, err := template.New("").Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := t.Execute(&out, at); err != nil {
		return "", err
	}
	return out.String(), nil
}

// waitServing returns once r answers a request as it will under load.
func (b *bench) waitServing(ctx context.Context, r *running) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := b.get(ctx, r.target("/256"))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", r.name, err)
		case <-r.exited:
			return r.failure()
		case <-tick.C:
		}
	}
}

// get asks once for t, on a new connection; any status but 200 is an error.
func (b *bench) get(ctx context.Context, t target) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, nil)
	if err != nil {
		return err
	}
	for _, h := range t.Headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: got status %d, want 200", t.URL, resp.StatusCode)
	}
	return nil
}
