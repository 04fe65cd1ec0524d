package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// load is what one load generator reports.
type load struct {
	Requests int64         `json:"requests"`
	Errors   int64         `json:"errors"` // of the connection, and statuses from 400 on
	Duration time.Duration `json:"duration_ns"`
	P50      time.Duration `json:"p50_ns,omitempty"`
	P99      time.Duration `json:"p99_ns,omitempty"`
}

// target is a URL with the headers of each request.
type target struct {
	URL     string
	Headers []string // "name: value"
	Upload  int      // bytes of the body of a POST; 0 is a GET without one
}

// wrkReport makes wrk print what it measured in a form that needs no guessing.
const wrkReport = `done = function(s, l, r)
  local e = s.errors
  io.write(string.format('REPORT {"requests":%d,"errors":%d,"duration_ns":%d,"p50_ns":%d,"p99_ns":%d}\n',
    s.requests, e.connect + e.read + e.write + e.status + e.timeout, s.duration * 1000,
    l:percentile(50) * 1000, l:percentile(99) * 1000))
end
`

// wrk loads t over HTTP/1.1, closed loop.
func (b *bench) wrk(ctx context.Context, t target, duration time.Duration) (load, error) {
	script := filepath.Join(b.dir, "report.lua")
	text := wrkReport
	if t.Upload > 0 {
		text += fmt.Sprintf("wrk.method = 'POST'\nwrk.body = string.rep('x', %d)\n", t.Upload)
	}
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		return load{}, err
	}
	args := []string{"-t1", fmt.Sprintf("-c%d", b.connections), "-d" + seconds(duration), "-s", script}
	for _, h := range t.Headers {
		args = append(args, "-H", h)
	}
	out, err := output(ctx, duration, "wrk", append(args, t.URL)...)
	if err != nil {
		return load{}, err
	}
	return parseWrk(out)
}

func parseWrk(out []byte) (load, error) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if report, ok := bytes.CutPrefix(lines.Bytes(), []byte("REPORT ")); ok {
			var l load
			err := json.Unmarshal(report, &l)
			return l, err
		}
	}
	return load{}, fmt.Errorf("read wrk's report: got %q, want a line REPORT", out)
}

// streams is the HTTP/2 requests at once on one connection: with a quarter of wrk's
// connections there are as many requests in flight.
const streams = 4

// h2load loads t over HTTP/2, closed loop.
func (b *bench) h2load(ctx context.Context, t target, duration time.Duration) (load, error) {
	args := []string{"-t1", fmt.Sprintf("-c%d", max(1, b.connections/streams)), fmt.Sprintf("-m%d", streams), "-D" + seconds(duration)}
	for _, h := range t.Headers {
		args = append(args, "-H", h)
	}
	if t.Upload > 0 {
		body := filepath.Join(b.dir, "upload")
		if err := os.WriteFile(body, bytes.Repeat([]byte("x"), t.Upload), 0o600); err != nil {
			return load{}, err
		}
		args = append(args, "-d", body)
	}
	out, err := output(ctx, duration, "h2load", append(args, t.URL)...)
	if err != nil {
		return load{}, err
	}
	l, err := parseH2load(out)
	l.Duration = duration
	return l, err
}

var (
	h2loadProtocol = regexp.MustCompile(`Application protocol: (\S+)`)
	h2loadRequests = regexp.MustCompile(`requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded`)
	h2loadStatus   = regexp.MustCompile(`status codes: (\d+) 2xx`)
)

func parseH2load(out []byte) (load, error) {
	protocol, requests, status := h2loadProtocol.FindSubmatch(out), h2loadRequests.FindSubmatch(out), h2loadStatus.FindSubmatch(out)
	if protocol == nil || string(protocol[1]) != "h2" || requests == nil || status == nil {
		return load{}, fmt.Errorf("read h2load's report: got %q, want the protocol h2, requests and status codes", out)
	}
	done, err1 := strconv.ParseInt(string(requests[1]), 10, 64)
	good, err2 := strconv.ParseInt(string(status[1]), 10, 64)
	return load{Requests: done, Errors: done - good}, errors.Join(err1, err2)
}

// vegeta loads t at a fixed rate, open loop, so that a stall shows in the latency.
func (b *bench) vegeta(ctx context.Context, t target, http2 bool, duration time.Duration) (load, error) {
	targets := filepath.Join(b.dir, "targets")
	text := "GET " + t.URL + "\n" + strings.Join(t.Headers, "\n") + "\n"
	if err := os.WriteFile(targets, []byte(text), 0o600); err != nil {
		return load{}, err
	}
	results := filepath.Join(b.dir, "results")
	binary, err := b.find("vegeta")
	if err != nil {
		return load{}, err
	}
	_, err = output(ctx, duration, binary, "attack", "-targets", targets, "-output", results, "-rate", strconv.Itoa(b.rate),
		"-duration", seconds(duration), "-root-certs", b.caFile, fmt.Sprintf("-http2=%t", http2),
		"-max-connections", strconv.Itoa(b.connections))
	if err != nil {
		return load{}, err
	}
	out, err := output(ctx, 0, binary, "report", "-type", "json", results)
	if err != nil {
		return load{}, err
	}
	return parseVegeta(out)
}

func parseVegeta(out []byte) (load, error) {
	var report struct {
		Requests  int64
		Success   float64
		Duration  time.Duration
		Latencies struct {
			P50 time.Duration `json:"50th"`
			P99 time.Duration `json:"99th"`
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return load{}, fmt.Errorf("read vegeta's report: %w", err)
	}
	failed := report.Requests - int64(float64(report.Requests)*report.Success+0.5)
	return load{Requests: report.Requests, Errors: failed, Duration: report.Duration,
		P50: report.Latencies.P50, P99: report.Latencies.P99}, nil
}

// errStalled says that a load generator did not end: h2load sometimes waits for ever when
// connections are still being made as its time begins.
var errStalled = errors.New("it did not end in time")

// output runs a load generator, which must end ten seconds after its duration.
func output(ctx context.Context, duration time.Duration, name string, args ...string) ([]byte, error) {
	limited, cancel := context.WithTimeoutCause(ctx, duration+10*time.Second, errStalled)
	defer cancel()
	command := exec.CommandContext(limited, name, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		if cause := context.Cause(limited); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("run %s: %w: %s", name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// seconds is a duration as all three load generators take it, whole and at least one.
func seconds(d time.Duration) string {
	return strconv.Itoa(int(max(1, d.Round(time.Second)/time.Second))) + "s"
}
