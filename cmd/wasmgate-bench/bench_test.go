package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// One short comparison with nginx as the only peer, from the flags to the tables.
func TestComparison(t *testing.T) {
	for _, row := range []string{"https", "http2", "cache"} {
		t.Run(row, func(t *testing.T) {
			s := settings{root: "../..", gateway: "not built", rounds: 2, duration: time.Second, workers: 1, connections: 8, rate: 100}
			b, cancel := testBench(t, s)
			defer cancel()
			b.only = []string{"nginx"}
			selected, err := selectRows(row)
			require.NoError(t, err)
			got, err := selected[0].run(t.Context(), b)
			require.NoError(t, err)
			require.Len(t, got.Lines, 1)
			line := got.Lines[0]
			require.Equal(t, "nginx", line.Subject)
			require.Positive(t, line.Value.Min, "CPU time of the workers, which are children of the process")
			require.Less(t, line.Value.Max, 10_000.0)
			require.Positive(t, line.PerSecond)
			require.Contains(t, got.Missing[0], "is not built")

			r := report{Rows: []result{got}}
			var text strings.Builder
			require.NoError(t, r.markdown(&text))
			require.Contains(t, text.String(), "| nginx |")
			data, err := r.json()
			require.NoError(t, err)
			var back report
			require.NoError(t, json.Unmarshal(data, &back))
			require.Equal(t, r, back)
		})
	}
}

func testBench(t *testing.T, s settings) (b *bench, cancel func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	b, err := newBench(ctx, s, io.Discard)
	require.NoError(t, err)
	return b, func() {
		stop()
		require.NoError(t, b.close())
		require.NoDirExists(t, b.dir)
	}
}

// A request that is answered with an error must not be counted as a fast one.
func TestFailedRequestsAreNoFigure(t *testing.T) {
	b, cancel := testBench(t, settings{root: "../..", rounds: 1, duration: time.Second, workers: 1, connections: 2})
	defer cancel()
	r, err := b.startPeer(t.Context(), nginx)
	require.NoError(t, err)
	defer r.stop()
	for _, http2 := range []bool{false, true} {
		_, err = comparison{path: "/nothing", http2: http2}.turn(t.Context(), b, r, time.Second)
		require.ErrorContains(t, err, "requests failed")
	}
}

func TestProcessEndsWithItsReason(t *testing.T) {
	p, err := startProcess(t.Context(), "sh", []string{"sh", "-c", "echo why >&2; exit 3"})
	require.NoError(t, err)
	<-p.exited
	require.EqualError(t, p.failure(), "sh ended: exit status 3: why")
	_, err = p.usage()
	require.ErrorContains(t, err, "why")
	p.stop()
}

// The usage must count children, and what ended children used.
func TestUsageOfDescendants(t *testing.T) {
	const burn = `i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done`
	p, err := startProcess(t.Context(), "sh", []string{"sh", "-c", `sh -c '` + burn + `'; sh -c '` + burn + `; echo done; read x' & wait`})
	require.NoError(t, err)
	defer p.stop()
	var used usage
	require.Eventually(t, func() bool {
		used, err = p.usage()
		return err == nil && used.CPU >= 2*ticks && used.RSS > 1<<20
	}, 30*time.Second, 20*time.Millisecond)
}

func TestParseStat(t *testing.T) {
	line := "42 (a ) b) S 7 " + strings.Repeat("0 ", 9) + "100 50 3 2 " + strings.Repeat("0 ", 6) + "10 0 0"
	pid, parent, used, err := parseStat(line)
	require.NoError(t, err)
	require.Equal(t, 42, pid)
	require.Equal(t, 7, parent)
	require.Equal(t, 1550*time.Millisecond, used.CPU)
	require.Equal(t, int64(10*os.Getpagesize()), used.RSS)
	for _, bad := range []string{"", "42", "42 (x) S 7", strings.Replace(line, "100", "x", 1)} {
		_, _, _, err := parseStat(bad)
		require.Error(t, err, bad)
	}
}

func TestParseLoads(t *testing.T) {
	got, err := parseWrk([]byte("Running\nREPORT {\"requests\":10,\"errors\":1,\"duration_ns\":5,\"p50_ns\":2,\"p99_ns\":3}\n"))
	require.NoError(t, err)
	require.Equal(t, load{10, 1, 5, 2, 3}, got)
	_, err = parseWrk([]byte("Running\n"))
	require.Error(t, err)

	h2 := "Application protocol: h2\nrequests: 9 total, 9 started, 8 done, 8 succeeded, 0 failed\nstatus codes: 7 2xx, 0 3xx, 1 4xx\n"
	got, err = parseH2load([]byte(h2))
	require.NoError(t, err)
	require.Equal(t, load{Requests: 8, Errors: 1}, got)
	_, err = parseH2load([]byte(strings.Replace(h2, "protocol: h2", "protocol: http/1.1", 1)))
	require.Error(t, err, "HTTP/1.1 must not pass for HTTP/2")

	got, err = parseVegeta([]byte(`{"requests":200,"success":0.985,"duration":7,"latencies":{"50th":1,"99th":4}}`))
	require.NoError(t, err)
	require.Equal(t, load{200, 3, 7, 1, 4}, got)
}

func TestParseBenchmarks(t *testing.T) {
	out := "goos: linux\nBenchmarkA/x-2   10  100 ns/op  0 B/op\nBenchmarkA/x-2   10  300 ns/op  0 B/op\nBenchmarkB  5 2.5 ns/op\nPASS\n"
	require.Equal(t, []line{
		{Subject: "A/x", Unit: "ns/op", Value: spread{200, 100, 300}},
		{Subject: "A/x", Unit: "B/op"},
		{Subject: "B", Unit: "ns/op", Value: spread{2.5, 2.5, 2.5}},
	}, parseBenchmarks([]byte(out)))
}

func TestFiguresOfOneSubjectStandTogether(t *testing.T) {
	var out strings.Builder
	result{Lines: []line{
		{Subject: "a", Unit: "ns/op", Value: spread{1, 1, 1}}, {Subject: "a", Unit: "B/op"}, {Subject: "b", Unit: "MB", Value: spread{2, 1, 3}, Note: "note"},
	}}.table(&out)
	require.Equal(t, "| | figure | |\n|---|---|---|\n| a | 1.00 ns/op, 0.00 B/op |  |\n| b | 2.00 (1.00-3.00) MB | note |\n", out.String())
}

func TestSpread(t *testing.T) {
	require.Equal(t, spread{2, 1, 9}, spreadOf([]float64{9, 1, 2}))
	require.Equal(t, "2.50 (1.00-4.00)", spreadOf([]float64{1, 2, 3, 4}).String())
	require.Equal(t, "1234", spreadOf([]float64{1234}).String())
}

func TestSelectRows(t *testing.T) {
	_, err := selectRows("https,nothing")
	require.ErrorContains(t, err, `row "nothing": want one of https`)
	got, err := selectRows("idle,https")
	require.NoError(t, err)
	require.Equal(t, []string{"idle", "https"}, []string{got[0].name, got[1].name})
}

func TestUpstream(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	u, err := startUpstream(ctx)
	require.NoError(t, err)
	for path, size := range map[string]int{"/256": 256, "/bench/16k": 16 << 10, "/1m?x=/y": 1 << 20} {
		resp, err := http.Get("http://" + u.address() + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Len(t, body, size)
		if size == 256 {
			require.True(t, json.Valid(body))
		}
	}
	resp, err := http.Get("http://" + u.address() + "/other")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	_, err = readRequest(bufio.NewReader(strings.NewReader("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")))
	require.Error(t, err)
	stop()
	u.running.Wait()
}

// The guest that the reloads swap must be a plugin by the contract, new in each generation.
func TestTinyGuest(t *testing.T) {
	require.NotEqual(t, tinyGuest(1), tinyGuest(2))
	module, err := abi.Inspect(tinyGuest(1))
	require.NoError(t, err)
	require.NoError(t, module.Check(nil))
	require.True(t, module.Exported(abi.HookMapRequest.Export()))
	require.Empty(t, module.Imports)
}

func TestMissingProgram(t *testing.T) {
	b := &bench{settings: settings{root: t.TempDir()}}
	_, err := b.find("no such program " + strconv.Itoa(os.Getpid()))
	require.ErrorAs(t, err, new(missing))
	sh, err := b.find("sh")
	require.NoError(t, err)
	require.NoError(t, exec.Command(sh, "-c", "true").Run())
}
