package observe

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func expect(t *testing.T, o *Observer, want string, names ...string) {
	t.Helper()
	require.NoError(t, testutil.GatherAndCompare(o.Gatherer(), strings.NewReader(want), names...))
}

func TestRouteMetrics(t *testing.T) {
	o := New(Options{})
	pets := o.Route(RouteKey{"shop", "prod", "/pets/{id}", "GET"})
	pets.Done(Sample{Status: 200, Duration: 3 * time.Millisecond, Integration: 2 * time.Millisecond, Cache: "miss"})
	pets.Done(Sample{Status: 200, Duration: 200 * time.Microsecond, Cache: "hit"})
	pets.Done(Sample{Status: 429, Duration: time.Hour, Throttled: true})
	pets.Done(Sample{})
	o.Route(RouteKey{}).Done(Sample{Status: 404})
	expect(t, o, `
# HELP wasmgate_cache_requests_total Requests by what the response cache did.
# TYPE wasmgate_cache_requests_total counter
wasmgate_cache_requests_total{api="shop",method="GET",route="/pets/{id}",stage="prod",status="hit"} 1
wasmgate_cache_requests_total{api="shop",method="GET",route="/pets/{id}",stage="prod",status="miss"} 1
# HELP wasmgate_requests_total Requests answered.
# TYPE wasmgate_requests_total counter
wasmgate_requests_total{api="",code_class="4xx",method="",route="",stage=""} 1
wasmgate_requests_total{api="shop",code_class="2xx",method="GET",route="/pets/{id}",stage="prod"} 2
wasmgate_requests_total{api="shop",code_class="4xx",method="GET",route="/pets/{id}",stage="prod"} 1
wasmgate_requests_total{api="shop",code_class="none",method="GET",route="/pets/{id}",stage="prod"} 1
# HELP wasmgate_throttled_total Requests refused by throttle or quota.
# TYPE wasmgate_throttled_total counter
wasmgate_throttled_total{api="shop",method="GET",route="/pets/{id}",stage="prod"} 1
# HELP wasmgate_integration_duration_seconds From the call of the integration to the head of its answer.
# TYPE wasmgate_integration_duration_seconds histogram
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.0001"} 0
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.00025"} 0
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.0005"} 0
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.001"} 0
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.0025"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.005"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.01"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.025"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.05"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.1"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.25"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="0.5"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="1"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="2.5"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="5"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="10"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="30"} 1
wasmgate_integration_duration_seconds_bucket{api="shop",method="GET",route="/pets/{id}",stage="prod",le="+Inf"} 1
wasmgate_integration_duration_seconds_sum{api="shop",method="GET",route="/pets/{id}",stage="prod"} 0.002
wasmgate_integration_duration_seconds_count{api="shop",method="GET",route="/pets/{id}",stage="prod"} 1
`, "wasmgate_requests_total", "wasmgate_cache_requests_total", "wasmgate_throttled_total", "wasmgate_integration_duration_seconds")
	n, err := testutil.GatherAndCount(o.Gatherer(), "wasmgate_request_duration_seconds")
	require.NoError(t, err)
	assert.Equal(t, 2, n, "an hour is in the last bucket of its route")
}

func TestRoutesAreCarriedOverAndGo(t *testing.T) {
	o := New(Options{})
	k := RouteKey{"a", "s", "/x", "GET"}
	old := o.Route(k)
	old.Done(Sample{Status: 200})
	next := o.Route(k) // the next snapshot's
	assert.Same(t, old, next)
	old.Release()
	n, err := testutil.GatherAndCount(o.Gatherer(), "wasmgate_requests_total")
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	next.Release()
	next.Done(Sample{Status: 200})
	n, err = testutil.GatherAndCount(o.Gatherer(), "wasmgate_requests_total")
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.NotSame(t, old, o.Route(k), "a route that comes back starts anew")
}

func TestOtherMetrics(t *testing.T) {
	end := time.Unix(1800000000, 0)
	o := New(Options{Version: "1.2.3",
		Certificates: func() []Certificate {
			return []Certificate{{Names: []string{"a", "b"}, NotAfter: end.Add(-time.Hour)}, {Names: []string{"a"}, NotAfter: end}, {Names: []string{"c"}}}
		},
		Gauges: []Gauge{{"upstream_connections", "Open.", func() float64 { return 7 }}},
	})
	p := o.Plugin("jwt", "authorize")
	p.Done(time.Millisecond, 1000, false)
	p.Done(time.Millisecond, 500, true)
	p.Trap("fuel")
	o.PluginFailed("jwt", "authorize")
	o.Refused("header_count")
	o.Connection(1)
	o.Connection(1)
	o.Connection(-1)
	o.Reloaded(true)
	o.Reloaded(false)
	o.Route(RouteKey{API: "bad\xffutf8"}).Done(Sample{Status: 200})
	expect(t, o, `
# HELP wasmgate_config_last_reload_success 1 when the last load succeeded.
# TYPE wasmgate_config_last_reload_success gauge
wasmgate_config_last_reload_success 0
# HELP wasmgate_config_reloads_total Loads of the configuration.
# TYPE wasmgate_config_reloads_total counter
wasmgate_config_reloads_total{result="failure"} 1
wasmgate_config_reloads_total{result="success"} 1
# HELP wasmgate_connections Open client connections.
# TYPE wasmgate_connections gauge
wasmgate_connections 1
# HELP wasmgate_plugin_calls_total Calls of plugin hooks; decisions that were kept cost no call.
# TYPE wasmgate_plugin_calls_total counter
wasmgate_plugin_calls_total{hook="authorize",outcome="failed",plugin="jwt"} 1
wasmgate_plugin_calls_total{hook="authorize",outcome="ok",plugin="jwt"} 1
# HELP wasmgate_plugin_failures_total Decisions that were not to be had; on_error took their place.
# TYPE wasmgate_plugin_failures_total counter
wasmgate_plugin_failures_total{hook="authorize",plugin="jwt"} 1
# HELP wasmgate_plugin_fuel_total Charged instructions.
# TYPE wasmgate_plugin_fuel_total counter
wasmgate_plugin_fuel_total{hook="authorize",plugin="jwt"} 1500
# HELP wasmgate_plugin_traps_total Calls that ended in a trap; the instance was thrown away.
# TYPE wasmgate_plugin_traps_total counter
wasmgate_plugin_traps_total{kind="fuel",plugin="jwt"} 1
# HELP wasmgate_refused_total Requests refused before any route.
# TYPE wasmgate_refused_total counter
wasmgate_refused_total{reason="header_count"} 1
# HELP wasmgate_tls_cert_not_after_seconds End of the certificate that serves the name; 0 when there is none.
# TYPE wasmgate_tls_cert_not_after_seconds gauge
wasmgate_tls_cert_not_after_seconds{name="a"} 1.8e+09
wasmgate_tls_cert_not_after_seconds{name="b"} 1.7999964e+09
wasmgate_tls_cert_not_after_seconds{name="c"} 0
# HELP wasmgate_upstream_connections Open.
# TYPE wasmgate_upstream_connections gauge
wasmgate_upstream_connections 7
`, "wasmgate_config_last_reload_success", "wasmgate_config_reloads_total", "wasmgate_connections",
		"wasmgate_plugin_calls_total", "wasmgate_plugin_failures_total", "wasmgate_plugin_fuel_total", "wasmgate_plugin_traps_total",
		"wasmgate_refused_total", "wasmgate_tls_cert_not_after_seconds", "wasmgate_upstream_connections")
	families, err := o.Gatherer().Gather()
	require.NoError(t, err)
	var all bytes.Buffer
	for _, f := range families {
		all.WriteString(f.String())
	}
	assert.Contains(t, all.String(), "1.2.3")
	assert.Contains(t, all.String(), "go_goroutines")
	assert.Contains(t, all.String(), "bad\ufffdutf8")
}

func TestTwoObserversShareNothing(t *testing.T) {
	a, b := New(Options{}), New(Options{})
	a.Refused("x")
	n, err := testutil.GatherAndCount(b.Gatherer(), "wasmgate_refused_total")
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.NotEqual(t, prometheus.DefaultGatherer, a.Gatherer())
}

func TestDoneAllocatesNothing(t *testing.T) {
	r := New(Options{}).Route(RouteKey{API: "a"})
	s := Sample{Status: 200, Duration: time.Millisecond, Integration: time.Millisecond, Cache: "hit"}
	assert.Zero(t, testing.AllocsPerRun(100, func() { r.Done(s) }))
}

// Counting, scraping and reloading at once; run with -race.
func TestObserverHammer(t *testing.T) {
	o := New(Options{})
	first := o.Route(RouteKey{API: "a"})
	var wg sync.WaitGroup
	const workers, rounds = 8, 500
	for range workers {
		wg.Go(func() {
			for i := range rounds {
				r := o.Route(RouteKey{API: "a"})
				r.Done(Sample{Status: 200, Duration: time.Duration(i) * time.Millisecond})
				r.Release()
				o.Plugin("p", "guard").Done(1, 1, false)
				o.Refused("x")
				if i%100 == 0 {
					_, err := o.Gatherer().Gather()
					assert.NoError(t, err)
				}
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, workers*rounds, first.requests[2].Load())
	assert.EqualValues(t, workers*rounds, o.refused["x"].Load())
}

func BenchmarkDone(b *testing.B) {
	r := New(Options{}).Route(RouteKey{API: "a"})
	s := Sample{Status: 200, Duration: 3 * time.Millisecond, Integration: 2 * time.Millisecond, Cache: "hit"}
	b.ReportAllocs()
	for b.Loop() {
		r.Done(s)
	}
}

func BenchmarkTenThousandRoutes(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		o := New(Options{})
		for i := range 10000 {
			o.Route(RouteKey{API: "a", Route: string(rune(i + 0x4e00))})
		}
	}
}
