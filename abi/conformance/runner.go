package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Runner runs the suite against one host. It may run once.
type Runner struct {
	// Host is told what to serve; must not be nil.
	Host Host
	// Base is where the host serves routes: a URL without a slash at its end. The id of a
	// route and the rest of the path follow it.
	Base string
	// Client sends the requests; must not be nil. It must follow no redirect and have a
	// time limit.
	Client *http.Client
	// Only runs the cases whose id it says yes to; nil is all.
	Only func(id string) bool

	upstream *upstream
}

// Outcome is what came of one case; Err is nil when the host passed.
type Outcome struct {
	*Case
	Err error
}

// Run has the host bind all cases that must be served at once and sends their requests, and
// then each of the others by itself, which it must refuse. The error says why the run could
// not be made; what the host did wrong stands in the outcomes.
func (r *Runner) Run(ctx context.Context) (out []Outcome, err error) {
	if r.upstream, err = openUpstream(ctx); err != nil {
		return nil, fmt.Errorf("open upstream: %w", err)
	}
	defer func() { err = errors.Join(err, r.upstream.close()) }()
	url := r.upstream.url()
	cases, err := suite(embedded, map[string]string{"UPSTREAM": url, "AUTHORITY": strings.TrimPrefix(url, "http://")})
	if err != nil {
		return nil, err
	}
	var served, refusals []*Case
	for _, c := range cases {
		switch {
		case r.Only != nil && !r.Only(c.ID):
		case c.Refused:
			refusals = append(refusals, c)
		default:
			served = append(served, c)
		}
	}
	bad, err := r.bindAll(ctx, served)
	if err != nil {
		return nil, err
	}
	for _, c := range served {
		err := bad[c.ID]
		if err == nil {
			err = r.serve(ctx, c)
		}
		out = append(out, Outcome{c, err})
	}
	for _, c := range refusals {
		err := r.bind(ctx, []*Case{c})
		if _, ok := refused(err); ok {
			err = nil
		} else if err == nil {
			err = errors.New("it is served, want it refused")
		}
		out = append(out, Outcome{c, err})
	}
	return out, nil
}

// bindAll binds what must be served. When that is refused, it finds the cases at fault and
// binds the others.
func (r *Runner) bindAll(ctx context.Context, cases []*Case) (bad map[string]error, err error) {
	err = r.bind(ctx, cases)
	if _, ok := refused(err); !ok {
		return nil, err
	}
	bad = map[string]error{}
	var good []*Case
	for _, c := range cases {
		err := r.bind(ctx, []*Case{c})
		switch _, ok := refused(err); {
		case ok:
			bad[c.ID] = err
		case err != nil:
			return nil, err
		default:
			good = append(good, c)
		}
	}
	return bad, r.bind(ctx, good)
}

func (r *Runner) bind(ctx context.Context, cases []*Case) error {
	b, err := r.binding(cases)
	if err != nil {
		return err
	}
	return r.Host.Bind(ctx, b)
}

// serve sends the requests of a case.
func (r *Runner) serve(ctx context.Context, c *Case) error {
	for i := range c.Steps {
		s := &c.Steps[i]
		for range max(s.Times, 1) {
			err := r.step(ctx, c, s)
			if err != nil && s.Await {
				err = r.await(ctx, c, s)
			}
			if err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
		}
	}
	return nil
}

// await sends the request again until the answer is as wanted.
func (r *Runner) await(ctx context.Context, c *Case, s *step) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
			if err = r.step(ctx, c, s); err == nil {
				return nil
			}
		}
	}
}

func (r *Runner) step(ctx context.Context, c *Case, s *step) error {
	_, before := r.upstream.since(0)
	method, path := s.Method, s.Path
	if method == "" {
		method = http.MethodGet
	}
	if path == "" {
		path = "/x"
	}
	var body io.Reader
	if s.Body != "" {
		body = strings.NewReader(s.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.Base+"/"+c.ID+path, body)
	if err != nil {
		return err
	}
	for _, h := range s.Headers {
		req.Header.Add(h[0], h[1])
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	came, _ := r.upstream.since(before)
	return s.Want.check(resp, text, came)
}
