package conformance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

// Target is a host under test, with the suite's bindings bound.
type Target struct {
	// URL is what stands before the routes, such as https://127.0.0.1:8443.
	URL string
	// Client sends the requests; it must not follow redirects by itself. nil is one without
	// any certificate authorities but the system's.
	Client *http.Client
	// Upstream is what the bindings lead to.
	Upstream *Upstream
	// Patience is how long an answer is awaited that need not come at once; 0 is ten seconds.
	Patience time.Duration
}

// Result is how one case ended; Err is nil when it passed.
type Result struct {
	*Case
	Err error
}

// Run runs the cases one after another and gives one result each.
func Run(ctx context.Context, s *Suite, t Target) []Result {
	if t.Client == nil {
		t.Client = &http.Client{}
	}
	results := make([]Result, 0, len(s.Cases))
	for _, c := range s.Cases {
		t.Upstream.reset()
		results = append(results, Result{c, t.run(ctx, c)})
	}
	return results
}

func (t *Target) run(ctx context.Context, c *Case) error {
	if c.Binding.Refused {
		return t.refuses(ctx, c)
	}
	for i := range c.Steps {
		step, err := c.Steps[i].prepared(c.Binding.Route, t.Upstream.URL)
		if err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		for range max(step.Times, 1) {
			err := t.step(ctx, c, step)
			if err != nil && step.Await {
				err = t.await(ctx, c, step)
			}
			if err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
		}
	}
	return nil
}

// await sends a request again until its answer is as wanted.
func (t *Target) await(ctx context.Context, c *Case, step *Step) (err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(t.Patience, 10*time.Second))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
			if err = t.step(ctx, c, step); err == nil {
				return nil
			}
		}
	}
}

// refuses wants the route of a refused policy to let nothing through.
func (t *Target) refuses(ctx context.Context, c *Case) error {
	resp, _, err := t.send(ctx, c, &Step{})
	if err != nil {
		return err
	}
	if resp.StatusCode < 400 {
		return fmt.Errorf("the policy must be refused: got status %d, want an error", resp.StatusCode)
	}
	if n := len(t.Upstream.take()); n > 0 {
		return errors.New("the policy must be refused: a request reached the upstream")
	}
	return nil
}

func (t *Target) send(ctx context.Context, c *Case, step *Step) (*http.Response, string, error) {
	url := t.URL + c.Binding.Route + step.Path
	if step.Query != "" {
		url += "?" + step.Query
	}
	req, err := http.NewRequestWithContext(ctx, step.Method, url, strings.NewReader(step.Body))
	if err != nil {
		return nil, "", err
	}
	for _, h := range step.Headers {
		if req.Header.Add(h[0], h[1]); strings.EqualFold(h[0], "host") {
			req.Host = h[1]
		}
	}
	resp, err := t.Client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func (t *Target) step(ctx context.Context, c *Case, step *Step) error {
	resp, body, err := t.send(ctx, c, step)
	if err != nil {
		return err
	}
	want := &step.Want
	var faults []string
	if want.Status != 0 && resp.StatusCode != want.Status {
		faults = append(faults, fmt.Sprintf("got status %d, want %d", resp.StatusCode, want.Status))
	}
	faults = append(faults, headersDiffer("client", resp.Header, want.Headers, want.Absent)...)
	if want.Body != nil && body != *want.Body {
		faults = append(faults, fmt.Sprintf("got body %q, want %q", body, *want.Body))
	}
	for _, part := range want.Holds {
		if !strings.Contains(body, part) {
			faults = append(faults, fmt.Sprintf("got body %q, want %q in it", body, part))
		}
	}
	if want.Record != nil || want.Without != nil {
		faults = append(faults, recordDiffers(body, want, c.Binding.Route)...)
	}
	arrived := t.Upstream.take()
	switch {
	case step.Upstream == nil && len(arrived) > 0:
		faults = append(faults, fmt.Sprintf("%d requests reached the upstream, want none", len(arrived)))
	case step.Upstream != nil && len(arrived) != 1:
		faults = append(faults, fmt.Sprintf("%d requests reached the upstream, want one", len(arrived)))
	case step.Upstream != nil:
		faults = append(faults, arrived[0].differs(step.Upstream, c.Binding.Route)...)
	}
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "; ") + "; the answer was " + fmt.Sprint(resp.StatusCode) + " " + fmt.Sprintf("%.60q", body))
	}
	return nil
}

// recordDiffers reads a body as the request record that a guest got.
func recordDiffers(body string, want *Want, route string) (faults []string) {
	record, err := abi.ParseRequest([]byte(body))
	if err != nil {
		return []string{err.Error()}
	}
	if want.Hook != "" && record.Hook().String() != want.Hook {
		faults = append(faults, fmt.Sprintf("got a record of hook %v, want %s", record.Hook(), want.Hook))
	}
	got := casefile.Decode(record)
	for name, value := range want.Record {
		text := strings.ReplaceAll(string(value), "ROUTE", route)
		have, ok := got[name]
		switch {
		case !ok:
			faults = append(faults, "record: no field "+name)
		case text == `"*"`: // of any value
		case !same(name, have, []byte(text)):
			faults = append(faults, fmt.Sprintf("record field %s: got %s, want %s", name, have, text))
		}
	}
	for _, name := range want.Without {
		if value, ok := got[name]; ok {
			faults = append(faults, fmt.Sprintf("record field %s: got %s, want absent", name, value))
		}
	}
	slices.Sort(faults)
	return faults
}

// same compares two JSON values. Headers of different names may have changed places on the
// way: HTTP/2 clients send them in any order.
func same(name string, got, want []byte) bool {
	var values [2]any
	for i, text := range [][]byte{got, want} {
		if json.Unmarshal(text, &values[i]) != nil {
			return false
		}
		if pairs, ok := values[i].([]any); ok && strings.HasSuffix(name, "headers") {
			slices.SortStableFunc(pairs, func(a, b any) int { return strings.Compare(nameOf(a), nameOf(b)) })
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

func nameOf(pair any) string {
	list, _ := pair.([]any)
	if len(list) == 0 {
		return ""
	}
	name, _ := list[0].(string)
	return name
}
