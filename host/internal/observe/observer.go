package observe

import (
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Options are the choices of an [Observer].
type Options struct {
	// Version is the host's, for wasmgate_build_info; empty is "devel".
	Version string
	// Access is where [Observer.Log] writes; nil writes nowhere. Its owner runs and closes it.
	Access *AccessLog
	// Certificates are asked at each scrape; nil has none.
	Certificates func() []Certificate
	// Rollouts are asked at each scrape; nil has none.
	Rollouts func() []Rollout
	// Gauges are asked at each scrape; the name follows "wasmgate_". May be nil.
	Gauges []Gauge
}

// Certificate is one for wasmgate_tls_cert_not_after_seconds.
type Certificate struct {
	Names    []string
	NotAfter time.Time // zero when there is none yet, shown as 0
}

// Gauge is a value that somebody else knows, such as the open upstream connections.
type Gauge struct {
	Name, Help string
	Value      func() float64
}

// Observer has the metrics of one host. It is safe for concurrent use.
type Observer struct {
	registry *prometheus.Registry
	access   *AccessLog
	certs    func() []Certificate
	rollouts func() []Rollout

	mu      sync.Mutex
	routes  map[RouteKey]*RouteMetrics
	plugins map[pluginKey]*PluginMetrics
	traps   map[trapKey]*atomic.Int64
	refused map[string]*atomic.Int64
	// returned are new versions that were taken back, by plugin.
	returned map[string]*atomic.Int64
	recorded map[recordedKey]*atomic.Int64
	custom   custom

	connections       atomic.Int64
	reloads           [2]atomic.Int64 // failure, success
	lastReloadSuccess atomic.Bool
	lastReload        atomic.Int64 // Unix seconds of the last success
}

// New makes an Observer with a registry of its own.
func New(o Options) *Observer {
	ob := &Observer{
		registry: prometheus.NewRegistry(), access: o.Access, certs: o.Certificates, rollouts: o.Rollouts,
		routes: map[RouteKey]*RouteMetrics{}, plugins: map[pluginKey]*PluginMetrics{},
		traps: map[trapKey]*atomic.Int64{}, refused: map[string]*atomic.Int64{}, returned: map[string]*atomic.Int64{}, recorded: map[recordedKey]*atomic.Int64{},
		custom: custom{metrics: map[customKey]*CustomMetric{}, perOne: map[string]int{}, families: map[string]CustomKind{}},
	}
	version := o.Version
	if version == "" {
		version = "devel"
	}
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	ob.registry.MustRegister(ob,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "wasmgate_build_info", Help: "1, with what this host was built from.",
			ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": runtime.Version()},
		}, func() float64 { return 1 }))
	for _, g := range o.Gauges {
		ob.registry.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "wasmgate_" + g.Name, Help: g.Help}, g.Value))
	}
	return ob
}

// Gatherer is what /metrics shows.
func (o *Observer) Gatherer() prometheus.Gatherer { return o.registry }

// Log writes one line to the access log, unless sampling leaves it out. e may be used
// again afterwards.
func (o *Observer) Log(e *Entry) {
	if o.access != nil {
		o.access.Log(e)
	}
}

// Logs tells whether [Observer.Log] would write a line for a request of that status and
// seed: who asks first need not fill an [Entry].
func (o *Observer) Logs(status int, seed uint64) bool {
	return o.access != nil && o.access.wants(status, seed)
}

// Reloaded counts a load of the configuration.
func (o *Observer) Reloaded(ok bool) {
	o.lastReloadSuccess.Store(ok)
	if ok {
		o.reloads[1].Add(1)
		o.lastReload.Store(time.Now().Unix())
	} else {
		o.reloads[0].Add(1)
	}
}

// Connection counts an accepted connection, delta 1, or one that ended, -1.
func (o *Observer) Connection(delta int) { o.connections.Add(int64(delta)) }

// Refused counts a request that was refused before it reached a route. reason is a
// constant of the program, never from the request.
func (o *Observer) Refused(reason string) { counter(o, o.refused, reason).Add(1) }

// counter gives the counter of key. It takes a lock: for what is rare.
func counter[K comparable](o *Observer, m map[K]*atomic.Int64, key K) *atomic.Int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := m[key]
	if c == nil {
		c = new(atomic.Int64)
		m[key] = c
	}
	return c
}

// Describe sends nothing: series come and go with routes. It is prometheus.Collector's.
func (o *Observer) Describe(chan<- *prometheus.Desc) {}

// Collect sends every series that has counted something. It is prometheus.Collector's.
func (o *Observer) Collect(ch chan<- prometheus.Metric) {
	o.mu.Lock()
	routes := slices.Collect(maps.Values(o.routes))
	plugins := slices.Collect(maps.Values(o.plugins))
	traps, refused, returned, recorded := maps.Clone(o.traps), maps.Clone(o.refused), maps.Clone(o.returned), maps.Clone(o.recorded)
	defined := slices.Collect(maps.Values(o.custom.metrics))
	o.mu.Unlock()
	for _, r := range routes {
		r.collect(ch)
	}
	for _, p := range plugins {
		p.collect(ch)
	}
	for _, m := range defined {
		m.collect(ch)
	}
	for k, v := range traps {
		count(ch, descTraps, v.Load(), k.plugin, k.kind)
	}
	for k, v := range recorded {
		count(ch, descRecorded, v.Load(), k.plugin, k.outcome)
	}
	for k, v := range refused {
		count(ch, descRefused, v.Load(), k)
	}
	for k, v := range returned {
		count(ch, descReturned, v.Load(), k)
	}
	for i, result := range []string{"failure", "success"} {
		ch <- prometheus.MustNewConstMetric(descReloads, prometheus.CounterValue, float64(o.reloads[i].Load()), result)
	}
	gauge(ch, descReloadSuccess, float64(b2i(o.lastReloadSuccess.Load())))
	gauge(ch, descReloadTime, float64(o.lastReload.Load()))
	gauge(ch, descConnections, float64(o.connections.Load()))
	if o.access != nil {
		for i, reason := range dropReasons {
			count(ch, descDropped, o.access.dropped[i].Load(), reason)
		}
	}
	if o.certs != nil {
		collectCertificates(ch, o.certs())
	}
	if o.rollouts != nil {
		collectRollouts(ch, o.rollouts())
	}
}

// collectCertificates shows, for each name, the certificate that lasts longest.
func collectCertificates(ch chan<- prometheus.Metric, certs []Certificate) {
	ends := map[string]float64{}
	for _, c := range certs {
		for _, n := range c.Names {
			end := 0.0
			if !c.NotAfter.IsZero() {
				end = float64(c.NotAfter.Unix())
			}
			ends[n] = max(ends[n], end)
		}
	}
	for n, end := range ends {
		gauge(ch, descCertificate, end, n)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("wasmgate_"+name, help, labels, nil)
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, n int64, labels ...string) {
	if n > 0 {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), valid(labels)...)
	}
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, valid(labels)...)
}

// valid makes labels UTF-8: one bad byte in a path template would make a scrape fail whole.
func valid(labels []string) []string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\ufffd")
	}
	return labels
}

var (
	routeLabels = []string{"api", "stage", "route", "method"}

	descRequests    = desc("requests_total", "Requests answered.", append(routeLabels[:4:4], "code_class")...)
	descDuration    = desc("request_duration_seconds", "From the complete request head to the end of the answer.", routeLabels...)
	descIntegration = desc("integration_duration_seconds", "From the call of the integration to the head of its answer.", routeLabels...)
	descCache       = desc("cache_requests_total", "Requests by what the response cache did.", append(routeLabels[:4:4], "status")...)
	descThrottled   = desc("throttled_total", "Requests refused by throttle or quota.", routeLabels...)

	descCalls        = desc("plugin_calls_total", "Calls of plugin hooks; decisions that were kept cost no call.", "plugin", "hook", "outcome")
	descUndecided    = desc("plugin_failures_total", "Decisions that were not to be had; on_error took their place.", "plugin", "hook")
	descCallDuration = desc("plugin_call_duration_seconds", "Time in plugin hooks, with their host calls.", "plugin", "hook")
	descFuel         = desc("plugin_fuel_total", "Charged instructions.", "plugin", "hook")
	descTraps        = desc("plugin_traps_total", "Calls that ended in a trap; the instance was thrown away.", "plugin", "kind")

	descRecorded      = desc("recordings_total", "Calls that were to be recorded, by what became of them.", "plugin", "outcome")
	descRefused       = desc("refused_total", "Requests refused before any route.", "reason")
	descConnections   = desc("connections", "Open client connections.")
	descReloads       = desc("config_reloads_total", "Loads of the configuration.", "result")
	descReloadSuccess = desc("config_last_reload_success", "1 when the last load succeeded.")
	descReloadTime    = desc("config_last_reload_timestamp_seconds", "When a load last succeeded.")
	descRollout       = desc("rollout_decisions_total", "Decisions of the old and the new version of a plugin since its rollout began.", "plugin", "version", "outcome")
	descReturned      = desc("rollouts_returned_total", "New versions that left their bounds and were taken back.", "plugin")
	descCertificate   = desc("tls_cert_not_after_seconds", "End of the certificate that serves the name; 0 when there is none.", "name")
	descDropped       = desc("access_log_dropped_total", "Access log lines that were lost.", "reason")
)
