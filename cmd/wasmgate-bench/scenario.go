package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// settle is how long a gateway is left alone before its memory is read.
const settle = 10 * time.Second

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// restingMemory is r's resident memory after a short load and a pause, so that garbage of
// its start, such as the plugins' compilation, has been collected and given back.
func (b *bench) restingMemory(ctx context.Context, r *running) (int64, error) {
	if _, err := b.wrk(ctx, r.target("/256"), 2*time.Second); err != nil {
		return 0, err
	}
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	used, err := r.usage()
	return used.RSS, err
}

func kilobytes(n int64) float64 { return float64(n) / 1000 }
func megabytes(n int64) float64 { return float64(n) / 1e6 }

// one is a figure that was measured once.
func one(v float64) spread { return spread{v, v, v} }

// idle measures what a TLS connection costs that has had one request and waits.
func idle(ctx context.Context, b *bench) (result, error) {
	var out result
	for _, p := range []*peer{wasmgate(), nginx, haproxy, envoy(false), caddy, httpwasm} {
		if !b.wanted(p) {
			continue
		}
		grown, err := b.idleMemory(ctx, p)
		if b.leftOut(p, err) {
			out.Missing = append(out.Missing, p.name+": "+err.Error())
			continue
		} else if err != nil {
			return out, err
		}
		out.Lines = append(out.Lines, line{Subject: p.name, Unit: "KB", Value: one(kilobytes(grown) / float64(b.idle)),
			Note: fmt.Sprintf("%d connections", b.idle)})
	}
	return out, nil
}

func (b *bench) idleMemory(ctx context.Context, p *peer) (grown int64, err error) {
	r, err := b.startPeer(ctx, p)
	if err != nil {
		return 0, err
	}
	defer r.stop()
	before, err := b.restingMemory(ctx, r)
	if err != nil {
		return 0, err
	}
	var conns []*tls.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range b.idle {
		c, err := b.idleConnection(r)
		if err != nil {
			return 0, fmt.Errorf("open idle connection %d to %s: %w", len(conns), r.name, err)
		}
		conns = append(conns, c)
	}
	after, err := b.restingMemory(ctx, r)
	return after - before, err
}

// held is how many idle connections the canary has beside it.
const held = 10_000

// idleCanary measures the latency of a slow open loop before and while idle connections are
// held, in turns of fresh connections: what matters is the difference.
func idleCanary(ctx context.Context, b *bench) (result, error) {
	var out result
	for _, p := range []*peer{wasmgate(), nginx} {
		if !b.wanted(p) {
			continue
		}
		p99, err := b.besideIdle(ctx, p)
		if b.leftOut(p, err) {
			out.Missing = append(out.Missing, p.name+": "+err.Error())
			continue
		} else if err != nil {
			return out, err
		}
		for i, name := range []string{p.name + ", alone", fmt.Sprintf("%s, beside %d", p.name, held)} {
			out.Lines = append(out.Lines, line{Subject: name, Unit: "ms", Value: spreadOf(p99[i]), Note: "p99 of each round"})
		}
	}
	return out, nil
}

func (b *bench) besideIdle(ctx context.Context, p *peer) (p99 [2][]float64, err error) {
	r, err := b.startPeer(ctx, p)
	if err != nil {
		return p99, err
	}
	defer r.stop()
	var conns []*tls.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for beside := range 2 {
		if beside == 1 {
			for range held {
				c, err := b.idleConnection(r)
				if err != nil {
					return p99, fmt.Errorf("open idle connection %d to %s: %w", len(conns), r.name, err)
				}
				conns = append(conns, c)
			}
		}
		if err := pause(ctx, settle/2); err != nil {
			return p99, err
		}
		for range b.rounds {
			l, err := b.vegeta(ctx, r.target("/256"), false, b.duration)
			if err == nil && l.Errors > 0 {
				err = fmt.Errorf("%d of %d requests failed", l.Errors, l.Requests)
			}
			if err != nil {
				return p99, err
			}
			p99[beside] = append(p99[beside], float64(l.P99.Microseconds())/1000)
		}
	}
	return p99, nil
}

// idleConnection opens an HTTP/1.1 connection and has one request answered on it.
func (b *bench) idleConnection(r *running) (*tls.Conn, error) {
	config := b.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.place.Port), config)
	if err != nil {
		return nil, err
	}
	t := r.target("/256")
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	fmt.Fprintf(conn, "GET /256 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\n\r\n", r.place.Port, strings.Join(t.Headers, "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("got status %d, want 200", resp.StatusCode)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// start measures from the process's start to the first answer with three policies.
func start(ctx context.Context, b *bench) (result, error) {
	p := wasmgate()
	first, err := b.startPeer(ctx, p) // fills the compile cache
	if err != nil {
		return result{}, err
	}
	first.stop()
	var took []float64
	for range b.rounds {
		began := time.Now()
		r, err := b.startAt(ctx, p, first.place)
		if err != nil {
			return result{}, err
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
		r.stop()
	}
	return result{Lines: []line{{Subject: "wasmgate", Unit: "ms", Value: spreadOf(took)}}}, nil
}

// manyRoutes is a document of n routes.
func manyRoutes(n int) string {
	var out strings.Builder
	out.WriteString(`openapi: 3.0.3
info: {title: Many routes, version: "1"}
x-wasmgate-api: {id: many, stage: $default, domains: [localhost]}
paths:
`)
	for i := range n {
		fmt.Fprintf(&out, `  /resource%d/{id}/part%d:
    get:
      x-amazon-apigateway-integration: {type: http_proxy, httpMethod: ANY, uri: "http://{{.Upstream}}/256"}
      responses: {"200": {description: The fixed answer}}
`, i/10, i%10)
	}
	return out.String()
}

// routes measures what 5,000 routes add to the resident memory.
func routes(ctx context.Context, b *bench) (result, error) {
	memory := func(prepare func(*place) error) (int64, error) {
		p := wasmgate()
		plain := p.prepare
		p.prepare = func(ctx context.Context, b *bench, at *place) error {
			return errors.Join(plain(ctx, b, at), prepare(at))
		}
		r, err := b.startPeer(ctx, p)
		if err != nil {
			return 0, err
		}
		defer r.stop()
		return b.restingMemory(ctx, r)
	}
	bare, err := memory(func(*place) error { return nil })
	if err != nil {
		return result{}, err
	}
	full, err := memory(func(at *place) error { return at.writeAPI("many.yaml", manyRoutes(5000)) })
	if err != nil {
		return result{}, err
	}
	return result{Lines: []line{{Subject: "wasmgate", Unit: "MB", Value: one(megabytes(full - bare)),
		Note: fmt.Sprintf("%.1f MB without them", megabytes(bare))}}}, nil
}

// reload tells the gateway to load its files now; the error is its refusal.
func (r *running) reload(ctx context.Context) error { return r.admin(ctx, "reload", nil) }

// admin posts a command to the gateway's admin listener.
func (r *running) admin(ctx context.Context, command string, arguments any) error {
	body, err := json.Marshal(arguments)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(r.place.Dir, "data", "admin.token"))
	if err != nil {
		return err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/admin/v1/%s", r.place.Admin, command)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	client := http.Client{Timeout: time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s: got status %d: %s", command, resp.StatusCode, answer)
	}
	return nil
}

// underLoad calls change again and again while wrk loads path, and gives the sum of the
// loads: they are repeated until change says that it is done.
func (b *bench) underLoad(ctx context.Context, r *running, path string, change func(context.Context) error) (load, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var changed error
	var changing sync.WaitGroup
	finished := make(chan struct{})
	changing.Go(func() { changed = change(ctx); close(finished) })
	var sum load
	for {
		l, err := b.wrk(ctx, r.target(path), 2*time.Second)
		if err != nil {
			cancel()
			changing.Wait()
			return sum, errors.Join(err, changed)
		}
		sum.Requests, sum.Errors = sum.Requests+l.Requests, sum.Errors+l.Errors
		sum.Duration, sum.P99 = sum.Duration+l.Duration, max(sum.P99, l.P99)
		select {
		case <-finished:
			return sum, changed
		default:
		}
	}
}

// snapshot measures a change of one document beside 10,000 routes, under load.
func snapshot(ctx context.Context, b *bench) (result, error) {
	p := wasmgate()
	plain := p.prepare
	p.prepare = func(ctx context.Context, b *bench, at *place) error {
		return errors.Join(plain(ctx, b, at), at.writeAPI("many.yaml", manyRoutes(10000)))
	}
	r, err := b.startPeer(ctx, p)
	if err != nil {
		return result{}, err
	}
	defer r.stop()
	calm, err := b.wrk(ctx, r.target("/256"), b.duration)
	if err != nil {
		return result{}, err
	}
	var took []float64
	l, err := b.underLoad(ctx, r, "/256", func(ctx context.Context) error {
		for i := range b.rounds {
			text := strings.Replace(wasmgateAPI, "title: Benchmark", fmt.Sprintf("title: Benchmark %d", i), 1)
			if err := r.place.writeAPI("bench.yaml", text); err != nil {
				return err
			}
			began := time.Now()
			if err := r.reload(ctx); err != nil {
				return err
			}
			took = append(took, time.Since(began).Seconds())
		}
		return nil
	})
	if err != nil {
		return result{}, err
	}
	return result{Lines: []line{
		{Subject: "build and swap", Unit: "s", Value: spreadOf(took)},
		{Subject: "failed requests", Unit: fmt.Sprintf("of %d", l.Requests), Value: one(float64(l.Errors))},
		{Subject: "p99 added", Unit: "ms", Value: one((l.P99 - calm.P99).Seconds() * 1000), Note: fmt.Sprintf("%.2f ms without swaps", calm.P99.Seconds()*1000)},
	}}, nil
}
