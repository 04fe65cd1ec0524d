package observe

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type pluginKey struct{ plugin, hook string }

type recordedKey struct{ plugin, outcome string }

// Recorded counts a call of a plugin that was to be recorded. outcome is a constant of the
// program.
func (o *Observer) Recorded(plugin, outcome string) {
	counter(o, o.recorded, recordedKey{plugin, outcome}).Add(1)
}

type trapKey struct{ plugin, kind string }

// PluginMetrics counts the calls of one hook of one plugin. It is safe for concurrent use.
type PluginMetrics struct {
	observer   *Observer
	key        pluginKey
	ok, failed atomic.Int64
	undecided  atomic.Int64
	fuel       atomic.Int64
	duration   histogram
}

// Plugin is the handle for a hook of a plugin, always the same one: plugins are few, and
// a plugin that comes back counts on.
func (o *Observer) Plugin(plugin, hook string) *PluginMetrics {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := pluginKey{plugin, hook}
	p := o.plugins[k]
	if p == nil {
		p = &PluginMetrics{observer: o, key: k}
		o.plugins[k] = p
	}
	return p
}

// PluginFailed counts a decision that was not to be had, so that the policy's on_error
// took its place, whether the call failed or its result was no use.
func (o *Observer) PluginFailed(plugin, hook string) { o.Plugin(plugin, hook).undecided.Add(1) }

// Done counts a call that took d and fuel charged instructions; failed is set when it
// ended in an error or a trap.
func (p *PluginMetrics) Done(d time.Duration, fuel uint64, failed bool) {
	if failed {
		p.failed.Add(1)
	} else {
		p.ok.Add(1)
	}
	p.fuel.Add(int64(fuel))
	p.duration.observe(d)
}

// Trap counts a trap. kind is a constant of the program, such as fuel or unreachable.
func (p *PluginMetrics) Trap(kind string) {
	counter(p.observer, p.observer.traps, trapKey{p.key.plugin, kind}).Add(1)
}

func (p *PluginMetrics) collect(ch chan<- prometheus.Metric) {
	count(ch, descCalls, p.ok.Load(), p.key.plugin, p.key.hook, "ok")
	count(ch, descCalls, p.failed.Load(), p.key.plugin, p.key.hook, "failed")
	count(ch, descUndecided, p.undecided.Load(), p.key.plugin, p.key.hook)
	count(ch, descFuel, p.fuel.Load(), p.key.plugin, p.key.hook)
	p.duration.collect(ch, descCallDuration, p.key.plugin, p.key.hook)
}
