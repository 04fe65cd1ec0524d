package observe

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// CustomKind is a kind of metric that a plugin defines.
type CustomKind int

// The kinds.
const (
	CustomCounter CustomKind = iota
	CustomGauge
	CustomHistogram
)

var customKinds = [...]string{"counter", "gauge", "histogram"}

// maxCustom is how many metrics one plugin may define: a name from a request must not make
// a series for each request.
const maxCustom = 1000

// customBounds are the histograms' bounds, those of Envoy: what plugins measure is mostly
// milliseconds.
var customBounds = [...]float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}

type customKey struct {
	plugin, name string
	kind         CustomKind
}

// CustomMetric is one metric that a plugin defined. It is safe for concurrent use.
type CustomMetric struct {
	kind  CustomKind
	desc  *prometheus.Desc
	value atomic.Int64                         // of a counter or gauge, the sum of a histogram
	count [len(customBounds) + 1]atomic.Uint64 // of a histogram
}

// custom is the metrics that plugins define; guarded by Observer.mu.
type custom struct {
	metrics  map[customKey]*CustomMetric
	perOne   map[string]int        // plugin
	families map[string]CustomKind // by the name that is shown
}

// Custom is the metric that a plugin calls name, always the same one; nil when the plugin
// has too many. It is shown as wasmgate_custom_NAME with the labels plugin and name, where
// what may not stand in a metric's name is an underscore. Two kinds of one name are told
// apart by their kind at the end.
func (o *Observer) Custom(plugin string, kind CustomKind, name string) *CustomMetric {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := customKey{plugin, name, kind}
	if m := o.custom.metrics[key]; m != nil {
		return m
	}
	if o.custom.perOne[plugin] >= maxCustom {
		return nil
	}
	family := "wasmgate_custom_" + legal(name)
	if kind == CustomCounter && !strings.HasSuffix(family, "_total") {
		family += "_total"
	}
	for {
		other, taken := o.custom.families[family]
		if !taken || other == kind {
			break
		}
		family += "_" + customKinds[kind]
	}
	labels := prometheus.Labels{"plugin": plugin, "name": strings.ToValidUTF8(name, "\ufffd")}
	m := &CustomMetric{kind: kind, desc: prometheus.NewDesc(family, "Defined by a plugin.", nil, labels)}
	o.custom.metrics[key], o.custom.families[family] = m, kind
	o.custom.perOne[plugin]++
	return m
}

// legal is name with what Prometheus does not take as an underscore.
func legal(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == ':' {
			return c
		}
		return '_'
	}, name)
}

// Add moves a counter or a gauge.
func (m *CustomMetric) Add(delta int64) { m.value.Add(delta) }

// Record sets a gauge, or adds a value to a histogram.
func (m *CustomMetric) Record(value uint64) {
	if m.kind != CustomHistogram {
		m.value.Store(int64(value))
		return
	}
	i := 0
	for i < len(customBounds) && float64(value) > customBounds[i] {
		i++
	}
	m.count[i].Add(1)
	m.value.Add(int64(value))
}

// Value is what a counter or a gauge stands at.
func (m *CustomMetric) Value() uint64 { return uint64(m.value.Load()) }

func (m *CustomMetric) collect(ch chan<- prometheus.Metric) {
	value := float64(m.value.Load())
	switch m.kind {
	case CustomCounter:
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, value)
	case CustomGauge:
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, value)
	default:
		buckets, total := make(map[float64]uint64, len(customBounds)), uint64(0)
		for i, bound := range customBounds {
			total += m.count[i].Load()
			buckets[bound] = total
		}
		total += m.count[len(customBounds)].Load()
		ch <- prometheus.MustNewConstHistogram(m.desc, total, value, buckets)
	}
}
