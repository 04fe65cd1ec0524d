package observe

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// RouteKey is the identity of a route in metrics. The zero value stands for requests
// that no route matched.
type RouteKey struct {
	API, Stage string
	Route      string // the path template
	Method     string // the route's, such as ANY
}

// cacheStatuses are what [Sample.Cache] may be, beside empty.
var cacheStatuses = [...]string{"hit", "miss", "collapsed", "stale", "bypass"}

// codeClasses are by the first digit of the status; the first is for a request that got
// no answer, because the client went away.
var codeClasses = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// RouteMetrics counts the requests of one route. It is safe for concurrent use.
type RouteMetrics struct {
	observer    *Observer
	key         RouteKey
	users       int // guarded by observer.mu
	requests    [len(codeClasses)]atomic.Int64
	cache       [len(cacheStatuses)]atomic.Int64
	throttled   atomic.Int64
	duration    histogram
	integration histogram
}

// Sample is what is counted of one request.
type Sample struct {
	// Status is what the client got; 0 when it went away before.
	Status int
	// Duration is from the complete head to the end of the answer.
	Duration time.Duration
	// Integration is from the call of the integration to the head of its answer; 0 when it was not called.
	Integration time.Duration
	// Cache is hit, miss, collapsed, stale or bypass; empty when the route has no cache.
	Cache string
	// Throttled is set when throttle or quota refused the request.
	Throttled bool
}

// Route is the handle for key, the same one as long as somebody holds it: a new snapshot
// takes its handles before the old one releases its own, so that counts go on.
func (o *Observer) Route(key RouteKey) *RouteMetrics {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.routes[key]
	if r == nil {
		r = &RouteMetrics{observer: o, key: key}
		o.routes[key] = r
	}
	r.users++
	return r
}

// Release gives the handle back; after the last one the series are gone. What is counted
// later is lost, but does no harm.
func (r *RouteMetrics) Release() {
	o := r.observer
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.users--; r.users == 0 {
		delete(o.routes, r.key)
	}
}

// Done counts one request.
func (r *RouteMetrics) Done(s Sample) {
	class := s.Status / 100
	if class < 0 || class >= len(codeClasses) {
		class = 0
	}
	r.requests[class].Add(1)
	r.duration.observe(s.Duration)
	if s.Integration > 0 {
		r.integration.observe(s.Integration)
	}
	if s.Cache != "" {
		for i, c := range cacheStatuses {
			if c == s.Cache {
				r.cache[i].Add(1)
				break
			}
		}
	}
	if s.Throttled {
		r.throttled.Add(1)
	}
}

func (r *RouteMetrics) collect(ch chan<- prometheus.Metric) {
	k := r.key
	for i := range r.requests {
		count(ch, descRequests, r.requests[i].Load(), k.API, k.Stage, k.Route, k.Method, codeClasses[i])
	}
	for i := range r.cache {
		count(ch, descCache, r.cache[i].Load(), k.API, k.Stage, k.Route, k.Method, cacheStatuses[i])
	}
	count(ch, descThrottled, r.throttled.Load(), k.API, k.Stage, k.Route, k.Method)
	r.duration.collect(ch, descDuration, k.API, k.Stage, k.Route, k.Method)
	r.integration.collect(ch, descIntegration, k.API, k.Stage, k.Route, k.Method)
}

// bounds are the upper bounds of the buckets.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// histogram is a tenth of prometheus.Histogram in memory, which a route has two of.
type histogram struct {
	buckets [len(bounds) + 1]atomic.Int64
	sum     atomic.Int64 // nanoseconds
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) collect(ch chan<- prometheus.Metric, d *prometheus.Desc, labels ...string) {
	var total uint64
	cumulative := make(map[float64]uint64, len(bounds))
	for i := range h.buckets {
		total += uint64(h.buckets[i].Load())
		if i < len(bounds) {
			cumulative[bounds[i].Seconds()] = total
		}
	}
	if total > 0 {
		sum := time.Duration(h.sum.Load()).Seconds()
		ch <- prometheus.MustNewConstHistogram(d, total, sum, cumulative, valid(labels)...)
	}
}
