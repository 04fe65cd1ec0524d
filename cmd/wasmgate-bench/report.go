package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// report is what the run found.
type report struct {
	Machine  string   `json:"machine"`
	Settings string   `json:"settings"`
	Rows     []result `json:"rows"`
}

// result is one row's.
type result struct {
	Row    string `json:"row"`
	Title  string `json:"title"`
	Target string `json:"target"`
	Lines  []line `json:"lines"`
	// Stolen is the share of processor time that went to other virtual machines meanwhile.
	Stolen float64 `json:"stolen,omitempty"`
	// Missing is what was not measured, and why.
	Missing []string `json:"missing,omitempty"`
}

// line is one figure of a row.
type line struct {
	Subject  string `json:"subject"`
	Policies string `json:"policies,omitempty"`
	Unit     string `json:"unit"`
	Value    spread `json:"value"`
	// Ratio is wasmgate's figure divided by this one, round by round.
	Ratio      *spread       `json:"ratio,omitempty"`
	PerSecond  float64       `json:"requests_per_second,omitempty"`
	P50        time.Duration `json:"p50_ns,omitempty"`
	P99        time.Duration `json:"p99_ns,omitempty"`
	OpenP50    time.Duration `json:"open_loop_p50_ns,omitempty"`
	OpenP99    time.Duration `json:"open_loop_p99_ns,omitempty"`
	OpenErrors int64         `json:"open_loop_errors,omitempty"`
	Note       string        `json:"note,omitempty"`
}

// spread is several rounds of one figure.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf sums up values; the median of an even number is the mean of the middle two.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (median + sorted[middle-1]) / 2
	}
	return spread{median, sorted[0], sorted[len(sorted)-1]}
}

// String is the median, with minimum and maximum when there are several values.
func (s spread) String() string {
	digits := 2
	if s.Median >= 100 {
		digits = 0
	}
	if s.Min == s.Max {
		return fmt.Sprintf("%.*f", digits, s.Median)
	}
	return fmt.Sprintf("%.*f (%.*f-%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}

func (r report) json() ([]byte, error) { return json.MarshalIndent(r, "", "  ") }

// markdown writes the report as tables.
func (r report) markdown(w io.Writer) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s; %s.\n", r.Machine, r.Settings)
	for _, row := range r.Rows {
		fmt.Fprintf(&out, "\n### %s\n\nTarget: %s.\n\n", row.Title, row.Target)
		row.table(&out)
		if row.Stolen >= 0.01 {
			fmt.Fprintf(&out, "\nOther virtual machines took %.0f %% of the processors meanwhile.\n", row.Stolen*100)
		}
		for _, m := range row.Missing {
			fmt.Fprintf(&out, "\nNot measured: %s\n", strings.Join(strings.Fields(m), " "))
		}
	}
	_, err := out.WriteTo(w)
	return err
}

func (r result) table(w io.Writer) {
	if len(r.Lines) == 0 {
		return
	}
	if r.Lines[0].Unit != "us/request" {
		fmt.Fprint(w, "| | figure | |\n|---|---|---|\n")
		for i := 0; i < len(r.Lines); {
			first, figures := r.Lines[i], []string(nil)
			for ; i < len(r.Lines) && r.Lines[i].Subject == first.Subject; i++ {
				figures = append(figures, r.Lines[i].Value.String()+" "+r.Lines[i].Unit)
			}
			fmt.Fprintf(w, "| %s | %s | %s |\n", first.Subject, strings.Join(figures, ", "), first.Note)
		}
		return
	}
	fmt.Fprint(w, "| gateway | decisions | CPU us/request | wasmgate / it | requests/s | p50, p99 closed loop | p50, p99 open loop |\n|---|---|---|---|---|---|---|\n")
	for _, l := range r.Lines {
		ratio := ""
		if l.Ratio != nil {
			ratio = l.Ratio.String()
		}
		open := pair(l.OpenP50, l.OpenP99)
		if l.OpenErrors > 0 {
			open += fmt.Sprintf(", %d failed", l.OpenErrors)
		}
		fmt.Fprintf(w, "| %s | %s | %v | %s | %.0f | %s | %s |\n", l.Subject, l.Policies, l.Value, ratio, l.PerSecond, pair(l.P50, l.P99), open)
	}
}

// pair is two latencies, nothing when they were not measured.
func pair(p50, p99 time.Duration) string {
	if p99 == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f, %.2f ms", p50.Seconds()*1000, p99.Seconds()*1000)
}

// machine says what this ran on.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(info)) {
			if name, ok := strings.CutPrefix(l, "model name"); ok {
				model = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(name), ":"))
				break
			}
		}
	}
	return fmt.Sprintf("%d cores of %s, %s/%s, %s", runtime.NumCPU(), cmp.Or(model, "an unknown processor"), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// processorTime is what /proc/stat says of all processors since the machine's start: the
// time that a hypervisor gave to others, and all time, in ticks.
func processorTime() (stolen, all float64) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0 // a note is lost, no figure
	}
	first, _, _ := strings.Cut(string(data), "\n")
	for i, field := range strings.Fields(first) {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 8 { // guest time, from 9 on, is in user time already
			continue
		}
		all += v
		if i == 8 {
			stolen = v
		}
	}
	return stolen, all
}

func describe(s settings) string {
	return fmt.Sprintf("%d rounds of %v, %d connections, %d workers, open loop at %d requests/s", s.rounds, s.duration, s.connections, s.workers, s.rate)
}
