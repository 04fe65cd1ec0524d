package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Binding is everything that a host is to serve, instead of what it served before.
type Binding struct {
	// Upstream is the URL, without path, to which requests go that no policy answers.
	Upstream string `json:"upstream"`
	// Modules are the guests by the ids of their plugins.
	Modules map[string][]byte `json:"modules"`
	// Secrets are by name.
	Secrets map[string]string `json:"secrets"`
	// StageVariables are those of the stage that the routes belong to.
	StageVariables map[string]string `json:"stage_variables"`
	Keys           []Key             `json:"api_keys"`
	Routes         []Route           `json:"routes"`
}

// Key is an API key that the host knows.
type Key struct {
	ID        string `json:"id"`
	Value     string `json:"value"`
	UsagePlan string `json:"usage_plan,omitempty"`
	Disabled  bool   `json:"disabled,omitempty"`
}

// Route takes every method on every path that begins with a slash, its id and a slash. The
// rest of the path is the path variable rest; the upstream is called with the whole path.
type Route struct {
	ID       string   `json:"id"`
	Policies []Policy `json:"policies"`
}

// Policy is a guest bound to a route, in the words of a gateway's document.
type Policy struct {
	Plugin    string          `json:"plugin"`
	Config    json.RawMessage `json:"config,omitempty"` // a string is given byte for byte
	Grants    json.RawMessage `json:"grants,omitempty"`
	OnError   string          `json:"on_error,omitempty"`
	Isolation string          `json:"isolation,omitempty"`
	Fuel      uint64          `json:"fuel,omitempty"`
	Memory    string          `json:"memory,omitempty"`
}

// Host is a host under test.
type Host interface {
	// Bind serves b from its return on. A host that refuses it gives a [*RefusedError];
	// any other error ends the run.
	Bind(ctx context.Context, b *Binding) error
}

// RefusedError says that a host refuses a binding, and why.
type RefusedError struct{ Reason string }

// Error is the reason.
func (e *RefusedError) Error() string { return "bind: refused: " + e.Reason }

// Remote is a host that is told over HTTP: a PUT of the binding as JSON, answered with 204,
// or with 422 and the reason when it is refused.
type Remote struct {
	URL    string
	Client *http.Client // must not be nil
}

// Bind sends the binding.
func (r *Remote) Bind(ctx context.Context, b *Binding) error {
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, r.URL, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.Client.Do(req)
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	defer resp.Body.Close()
	reason, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch {
	case err != nil:
		return fmt.Errorf("bind: %w", err)
	case resp.StatusCode == http.StatusNoContent:
		return nil
	case resp.StatusCode == http.StatusUnprocessableEntity:
		return &RefusedError{string(reason)}
	}
	return fmt.Errorf("bind: got status %d and %.200q, want 204 or 422", resp.StatusCode, reason)
}

// binding is what a host is to serve for some cases.
func (r *Runner) binding(cases []*Case) (*Binding, error) {
	b := &Binding{Upstream: r.upstream.url(), Modules: map[string][]byte{}, Secrets: map[string]string{"conformance-key": "a secret of 22 bytes!!"},
		StageVariables: map[string]string{"color": "green"},
		Keys: []Key{
			{ID: "gold", Value: "conformance-gold-0123456789", UsagePlan: "plenty"},
			{ID: "gone", Value: "conformance-gone-0123456789", Disabled: true},
		}}
	for _, c := range cases {
		route := Route{ID: c.ID}
		for i := range c.Policies {
			p := &c.Policies[i]
			wasm, err := embedded.ReadFile("guests/" + p.Guest + ".wasm")
			if err != nil {
				return nil, fmt.Errorf("case %q: guest %q: %w", c.ID, p.Guest, err)
			}
			config := p.Config
			if p.Guest == "puppet" {
				if config, err = p.script(); err != nil {
					return nil, fmt.Errorf("case %q: %w", c.ID, err)
				}
			} else if p.Results != nil || p.Raw != nil || p.Patch != nil {
				return nil, fmt.Errorf("case %q: guest %q has no script", c.ID, p.Guest)
			}
			id := plugin(p.Guest)
			b.Modules[id] = wasm
			route.Policies = append(route.Policies, Policy{Plugin: id, Config: config, Grants: p.Grants, OnError: p.OnError,
				Isolation: p.Isolation, Fuel: p.Fuel, Memory: p.Memory})
		}
		b.Routes = append(b.Routes, route)
	}
	return b, nil
}

// plugin is the plugin's id of a guest.
func plugin(guest string) string {
	return string(bytes.ReplaceAll([]byte(guest), []byte("."), []byte("-")))
}

// refused tells why a host refused; false when it did not.
func refused(err error) (string, bool) {
	r, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return "", false
	}
	return r.Reason, true
}
