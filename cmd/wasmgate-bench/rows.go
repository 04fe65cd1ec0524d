package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// row is one thing that is measured.
type row struct {
	name   string
	title  string
	target string // what is to be reached
	run    func(ctx context.Context, b *bench) (result, error)
}

func rows() []row {
	all := []*peer{wasmgate(), nginx, haproxy, envoy(false), envoy(true), caddy, httpwasm}
	bare := []*peer{wasmgate(), nginx, haproxy}
	return []row{
		{"https", "256 bytes, TLS HTTP/1.1", "<= 1.0x nginx, <= 0.35x envoy, <= 0.25x envoy+wasm and http-wasm, <= 0.15x caddy",
			comparison{path: "/256", peers: all}.run},
		{"https-16k", "16 KB, TLS HTTP/1.1", "<= 1.0x nginx", comparison{path: "/16k", peers: bare}.run},
		{"https-1m", "download of 1 MB, TLS HTTP/1.1", "<= 1.1x nginx", comparison{path: "/1m", peers: bare}.run},
		{"https-1m-up", "upload of 1 MB, TLS HTTP/1.1", "<= 1.1x nginx", comparison{path: "/256", upload: 1 << 20, peers: bare}.run},
		{"http2", "256 bytes, HTTP/2", "<= 1.0x nginx", comparison{path: "/256", http2: true, peers: all}.run},
		{"http2-1m", "download of 1 MB, HTTP/2", "<= 1.1x nginx", comparison{path: "/1m", http2: true, peers: bare}.run},
		{"http2-1m-up", "upload of 1 MB, HTTP/2", "<= 1.1x nginx", comparison{path: "/256", upload: 1 << 20, http2: true, peers: bare}.run},
		{"cache", "cache hit, 256 bytes, TLS HTTP/1.1", "<= 0.8x nginx",
			comparison{path: "/cached/256", peers: []*peer{wasmgate(), nginx}}.run},
		{"cache-http2", "cache hit, 256 bytes, HTTP/2", "<= 0.8x nginx",
			comparison{path: "/cached/256", http2: true, peers: []*peer{wasmgate(), nginx}}.run},
		{"idle", "memory of an idle TLS connection", "<= 20 KB, then 13 KB", idle},
		{"canary", "latency beside 10,000 idle TLS connections", "p99 stays where it was", idleCanary},
		{"start", "start to the first answer, compile cache warm, six built-ins bound", "<= 500 ms", start},
		{"routes", "memory at 5,000 routes beyond the bare process", "<= 60 MB", routes},
		{"snapshot", "build and swap a snapshot of 10,000 routes under load", "<= 1 s, no failed request", snapshot},
		{"reloads", "plugin reloads under load", "memory within 5 MB, no failed request", reloads},
		{"rollouts", "rollouts and rollbacks of a plugin under load", "memory within 5 MB, no failed request", rollouts},
		{"hook", "one hook of a pooled guest; one with a host call", "<= 200 ns, 0 allocations",
			micro("./host/internal/guest", "^Benchmark(Call|HostCall)$")},
		{"instance", "a new instance", "<= 5 us lean, <= 12 us Go", micro("./host/internal/guest", "^BenchmarkInstance$")},
		{"fresh", "isolation fresh: one hook call, memory and globals as after configure", "<= 5 us lean, <= 12 us Go", micro("./host/internal/guest", "^BenchmarkFresh$")},
		{"fuel", "fuel, against the same guest without", "<= 1.10x branchy guests, <= 1.02x tight loops",
			micro("./host/internal/guest/fuel", "^BenchmarkOverhead$")},
		{"lookup", "route lookup, 100,000 routes", "<= 300 ns, 0 allocations", micro("./host/internal/route", "^BenchmarkLookup$")},
	}
}

// comparison is a row in which gateways take turns under the same load.
type comparison struct {
	path   string
	upload int // bytes of the request's body; 0 is a GET without one
	http2  bool
	peers  []*peer // wasmgate first
}

// sample is one turn of one gateway.
type sample struct {
	perRequest float64 // microseconds of CPU time
	perSecond  float64
	p50, p99   time.Duration // closed loop; zero from h2load
}

func (c comparison) run(ctx context.Context, b *bench) (result, error) {
	var out result
	var subjects []*running
	defer func() {
		for _, r := range subjects {
			r.stop()
		}
	}()
	peers := c.peers
	if b.earlier != "" {
		peers = slices.Insert(slices.Clone(peers), 1, earlier())
	}
	for _, p := range peers {
		if p.name != "earlier" && !b.wanted(p) {
			continue
		}
		r, err := b.startPeer(ctx, p)
		if b.leftOut(p, err) {
			out.Missing = append(out.Missing, p.name+": "+err.Error())
			continue
		} else if err != nil {
			return out, err
		}
		subjects = append(subjects, r)
		if _, err := c.turn(ctx, b, r, time.Second); err != nil { // warms pools and caches
			return out, err
		}
	}
	samples := make([][]sample, len(subjects))
	for round := range b.rounds {
		for i, r := range subjects {
			s, err := c.turn(ctx, b, r, b.duration)
			if err != nil {
				return out, err
			}
			fmt.Fprintf(b.progress, "  round %d %-10s %6.2f us/request %8.0f requests/s\n", round+1, r.name, s.perRequest, s.perSecond)
			samples[i] = append(samples[i], s)
		}
	}
	for i, r := range subjects {
		line := c.line(r, samples[i], samples[0], subjects[0].name == "wasmgate" && i > 0)
		if c.upload > 0 || c.path == "/1m" { // the open loop is for latency, of GETs whose bytes the machine can carry
			out.Lines = append(out.Lines, line)
			continue
		}
		open, err := b.vegeta(ctx, r.target(c.path), c.http2, b.duration)
		if because, ok := errors.AsType[missing](err); ok {
			out.Missing = append(out.Missing, "open loop: "+because.Error())
		} else if err != nil {
			return out, err
		} else {
			line.OpenP50, line.OpenP99 = open.P50, open.P99
			line.OpenErrors = open.Errors
		}
		out.Lines = append(out.Lines, line)
	}
	out.Missing = slices.Compact(out.Missing)
	return out, nil
}

// turn loads r once; a second time when the load generator stalled.
func (c comparison) turn(ctx context.Context, b *bench, r *running, duration time.Duration) (sample, error) {
	s, err := c.measure(ctx, b, r, duration)
	if errors.Is(err, errStalled) {
		fmt.Fprintf(b.progress, "  again: %v\n", err)
		s, err = c.measure(ctx, b, r, duration)
	}
	if err != nil {
		return s, fmt.Errorf("load %s: %w", r.name, err)
	}
	return s, nil
}

func (c comparison) measure(ctx context.Context, b *bench, r *running, duration time.Duration) (sample, error) {
	generate := b.wrk
	if c.http2 {
		generate = b.h2load
	}
	before, err := r.usage()
	if err != nil {
		return sample{}, err
	}
	at := r.target(c.path)
	at.Upload = c.upload
	l, err := generate(ctx, at, duration)
	if err != nil {
		return sample{}, err
	}
	after, err := r.usage()
	switch {
	case err != nil:
		return sample{}, err
	case l.Errors > 0:
		return sample{}, fmt.Errorf("%d of %d requests failed", l.Errors, l.Requests)
	case l.Requests == 0:
		return sample{}, fmt.Errorf("no request was answered: %w", errStalled)
	}
	return sample{
		perRequest: float64((after.CPU - before.CPU).Nanoseconds()) / 1000 / float64(l.Requests),
		perSecond:  float64(l.Requests) / l.Duration.Seconds(),
		p50:        l.P50, p99: l.P99,
	}, nil
}

// line sums up the turns of r; ours are wasmgate's in the same rounds.
func (c comparison) line(r *running, samples, ours []sample, compared bool) line {
	pick := func(field func(sample) float64) spread {
		var values []float64
		for _, s := range samples {
			values = append(values, field(s))
		}
		return spreadOf(values)
	}
	out := line{Subject: r.name, Policies: r.peer.policies, Unit: "us/request",
		Value:     pick(func(s sample) float64 { return s.perRequest }),
		PerSecond: pick(func(s sample) float64 { return s.perSecond }).Median,
		P50:       time.Duration(pick(func(s sample) float64 { return float64(s.p50) }).Median),
		P99:       time.Duration(pick(func(s sample) float64 { return float64(s.p99) }).Median),
	}
	if c.path == "/cached/256" {
		out.Policies = "cache"
	}
	if compared {
		var ratios []float64
		for i, s := range samples {
			ratios = append(ratios, ours[i].perRequest/s.perRequest)
		}
		ratio := spreadOf(ratios)
		out.Ratio = &ratio
	}
	return out
}

// leftOut tells whether the rows can do without p, which did not start: a peer may be
// missing or refuse this machine, the gateway itself may only be missing.
func (b *bench) leftOut(p *peer, err error) bool {
	_, absent := errors.AsType[missing](err)
	return absent || err != nil && p.name != "wasmgate"
}

// wanted tells whether -peers has p; wasmgate is always measured when it is built.
func (b *bench) wanted(p *peer) bool {
	return len(b.only) == 0 || p.name == "wasmgate" || slices.Contains(b.only, p.name)
}
