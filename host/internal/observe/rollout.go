package observe

import "github.com/prometheus/client_golang/prometheus"

// Rollout is what one version of a plugin decided while two serve beside each other.
type Rollout struct {
	Plugin string
	// Version is old or new.
	Version string
	// Decisions are all, Denials and Failures among them. They begin anew with each rollout.
	Decisions, Denials, Failures uint64
}

func collectRollouts(ch chan<- prometheus.Metric, list []Rollout) {
	for _, r := range list {
		// Read one after another, they may be of different moments.
		other := r.Decisions - min(r.Decisions, r.Denials+r.Failures)
		for outcome, n := range map[string]uint64{"ok": other, "denied": r.Denials, "failed": r.Failures} {
			count(ch, descRollout, int64(n), r.Plugin, r.Version, outcome)
		}
	}
}

// RolloutReturned counts a new version that left its bounds and was taken back.
func (o *Observer) RolloutReturned(plugin string) { counter(o, o.returned, plugin).Add(1) }
