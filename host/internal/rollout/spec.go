package rollout

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/http1"
)

// Share says which requests the new version serves: exactly one of its fields is set.
type Share struct {
	// Percent of the requests, by chance, from 0.01 to 100.
	Percent float64 `json:"percent,omitempty"`
	// Stage is the name of the stage all of whose requests it serves.
	Stage string `json:"stage,omitempty"`
	// Header is "name" for requests that have the header, or "name: value" for those that
	// have it with this value. Any client can send it.
	Header string `json:"header,omitempty"`
}

// Check says what is wrong with s.
func (s *Share) Check() error {
	set := 0
	for _, is := range [...]bool{s.Percent != 0, s.Stage != "", s.Header != ""} {
		if is {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("got %d of percent, stage and header, want one of them", set)
	}
	if s.Percent != 0 && !(s.Percent >= 0.01 && s.Percent <= 100) {
		return fmt.Errorf("percent: got %v, want 0.01 to 100", s.Percent)
	}
	if s.Header != "" {
		name, value := s.Named()
		if err := http1.CheckField([]byte(name), []byte(value)); err != nil {
			return fmt.Errorf(`header: got %q, want "name" or "name: value": %w`, s.Header, err)
		}
	}
	return nil
}

// Named is the header, its name in lower case; an empty value is any.
func (s *Share) Named() (name, value string) {
	name, value, _ = strings.Cut(s.Header, ":")
	return strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
}

// String is such as "10 % of the requests".
func (s *Share) String() string {
	switch {
	case s.Stage != "":
		return "stage " + s.Stage
	case s.Header != "":
		return "requests with the header " + s.Header
	}
	return fmt.Sprintf("%v %% of the requests", s.Percent)
}

// Bounds are what takes a new version back. The zero value stands for [DefaultBounds].
type Bounds struct {
	// Failures is the largest percentage of decisions that may fail: traps, exhausted fuel,
	// results that are no good.
	Failures *float64 `json:"max_failures,omitempty"`
	// Denials is by how many percentage points more the new version may deny than the old
	// one does meanwhile.
	Denials *float64 `json:"max_denials,omitempty"`
	// Latency is the longest time within which 95 of 100 calls must end, in milliseconds.
	Latency *float64 `json:"max_latency_ms,omitempty"`
	// Decisions is how many must be there for percentages: fewer count as that many, so that
	// the first denial is not 100 percent, and many failures need not wait.
	Decisions uint64 `json:"min_decisions,omitempty"`
}

// DefaultBounds are those of fields that are not set.
func DefaultBounds() Bounds {
	failures, denials, latency := 1.0, 5.0, 50.0
	return Bounds{&failures, &denials, &latency, 100}
}

// Filled is b with defaults for what is not set.
func (b Bounds) Filled() Bounds {
	d := DefaultBounds()
	if b.Failures != nil {
		d.Failures = b.Failures
	}
	if b.Denials != nil {
		d.Denials = b.Denials
	}
	if b.Latency != nil {
		d.Latency = b.Latency
	}
	if b.Decisions != 0 {
		d.Decisions = b.Decisions
	}
	return d
}

// Check says what is wrong with b.
func (b Bounds) Check() error {
	var faults []error
	for _, f := range []struct {
		name string
		got  *float64
		most float64
	}{{"max_failures", b.Failures, 100}, {"max_denials", b.Denials, 100}, {"max_latency_ms", b.Latency, 3.6e6}} {
		if f.got != nil && !(*f.got >= 0 && *f.got <= f.most) {
			faults = append(faults, fmt.Errorf("%s: got %v, want 0 to %v", f.name, *f.got, f.most))
		}
	}
	if b.Decisions > 1e9 {
		faults = append(faults, fmt.Errorf("min_decisions: got %d, want at most 1000000000", b.Decisions))
	}
	return errors.Join(faults...)
}

// Counts is what was counted of one version since its rollout began.
type Counts struct {
	Decisions uint64        `json:"decisions"`
	Denials   uint64        `json:"denials"`
	Failures  uint64        `json:"failures"`
	Calls     uint64        `json:"calls"`
	P95       time.Duration `json:"p95_ns"`
}

// Judge says why the new version must be taken back; empty is that it may stay.
func (b Bounds) Judge(old, now Counts) string {
	b = b.Filled()
	decisions := float64(max(now.Decisions, b.Decisions, 1))
	if share := 100 * float64(now.Failures) / decisions; share > *b.Failures {
		return fmt.Sprintf("%d of %d decisions failed, want at most %v %% of at least %d", now.Failures, now.Decisions, *b.Failures, b.Decisions)
	}
	usual := 100 * float64(old.Denials) / float64(max(old.Decisions, b.Decisions, 1))
	if share := 100 * float64(now.Denials) / decisions; share > usual+*b.Denials {
		return fmt.Sprintf("%d of %d decisions are denials, want at most %v percentage points above the %.3g %% of the old version",
			now.Denials, now.Decisions, *b.Denials, usual)
	}
	if most := time.Duration(*b.Latency * float64(time.Millisecond)); now.Calls >= b.Decisions && now.P95 > most {
		return fmt.Sprintf("95 of 100 calls end within %v, want within %v", now.P95, most)
	}
	return ""
}
