package casefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// fuel is the most that a call may cost, written as a number, or what it must cost, written
// as {"is": number}.
type fuel struct {
	units uint64
	exact bool
}

type exactFuel struct {
	Is uint64 `json:"is"`
}

// MarshalJSON writes a number, or {"is": number}.
func (f fuel) MarshalJSON() ([]byte, error) {
	if f.exact {
		return json.Marshal(exactFuel{f.units})
	}
	return json.Marshal(f.units)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *fuel) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &f.units) == nil {
		return nil
	}
	var exact exactFuel
	if err := strict(text, &exact); err != nil {
		return fmt.Errorf(`fuel: got %s, want a whole number or {"is": NUMBER}: %w`, text, err)
	}
	*f = fuel{exact.Is, true}
	return nil
}

// CheckFuel says how the fuel that the call took differs; 0 was not counted.
func (c *Case) CheckFuel(took uint64) error {
	switch {
	case took == 0:
	case c.Exact && took != c.Fuel:
		return fmt.Errorf("fuel: got %d, want %d", took, c.Fuel)
	case c.Fuel != 0 && took > c.Fuel:
		return fmt.Errorf("fuel: got %d, want at most %d", took, c.Fuel)
	}
	return nil
}

// Trap is how a call must end instead of with a result.
type Trap struct {
	// Kind is trap, fuel, stack, memory or result; empty is any.
	Kind string `json:"kind,omitempty"`
	// Text is a part of the trap's text.
	Text string `json:"text,omitempty"`
	// Stack is the guest's functions, the innermost first. For people: nobody compares it.
	Stack []string `json:"stack,omitempty"`
}

// TrapKind is what an error of a [Guest] may have, to say what kind of trap it is.
type TrapKind interface{ TrapKind() string }

// Check says how err differs from the trap that is wanted, nil for none.
func (t *Trap) Check(err error) error {
	if t == nil {
		return err
	}
	if err == nil {
		return fmt.Errorf("got an answer, want a trap %q with %q", t.Kind, t.Text)
	}
	var kind TrapKind
	if errors.As(err, &kind) && t.Kind != "" && kind.TrapKind() != t.Kind {
		return fmt.Errorf("trap: got kind %q, want %q: %w", kind.TrapKind(), t.Kind, err)
	}
	if !strings.Contains(err.Error(), t.Text) {
		return fmt.Errorf("trap: got %q, want a text with %q", err, t.Text)
	}
	return nil
}

// CheckLog says how lines, each a level from 0 and a text as in [Host].Lines, differ from
// the lines that the case wants; nil lines of the case are not compared.
func (c *Case) CheckLog(lines []string) error {
	if c.Log == nil || slices.Equal(c.Log, lines) {
		return nil
	}
	return fmt.Errorf("log: got %q, want %q", lines, c.Log)
}

// Limits are what the policy allowed the plugin.
type Limits struct {
	// Fuel is the budget of the call, Memory the cap of the guest's memory in bytes; 0 is the
	// default of who runs the case.
	Fuel   uint64 `json:"fuel,omitempty"`
	Memory uint64 `json:"memory,omitempty"`
}

// Module is which plugin was recorded.
type Module struct {
	// ID is the plugin's id, Version its manifest's.
	ID      string `json:"id"`
	Version string `json:"version,omitempty"`
	// SHA256 is the module's digest, in hexadecimal digits.
	SHA256 string `json:"sha256"`
}

// Live is what happened at the gateway. Nobody compares it: what the case wants was got
// from a new instance and what was redacted.
type Live struct {
	// Time is when the hook was called, in RFC 3339.
	Time string `json:"time"`
	// RequestID is the request's, as in x-amzn-RequestId.
	RequestID string `json:"request_id,omitempty"`
	// Decision and Status are the result's; both empty when it trapped.
	Decision string `json:"decision,omitempty"`
	Status   uint64 `json:"status,omitempty"`
	// Trap is the kind of a failure; empty for none.
	Trap string `json:"trap,omitempty"`
	Fuel uint64 `json:"fuel,omitempty"`
	// Changed are the fields of the result, or "trap", that were others: what was redacted or
	// cut did that, or what the instance kept from earlier requests.
	Changed []string `json:"changed,omitempty"`
	// Redacted is what has placeholders, Cut what lost its end.
	Redacted []string `json:"redacted,omitempty"`
	Cut      []string `json:"cut,omitempty"`
}

// Request is the fields of the request, not to be changed.
func (c *Case) Request() Fields { return c.request }

// SetRequest gives the case its request.
func (c *Case) SetRequest(fields Fields) { c.request = fields }

// Result is the fields of the result that is wanted, not to be changed.
func (c *Case) Result() Fields { return c.result }

// SetResult makes the case want what a call gave: a result record, or the trap that is not nil.
func (c *Case) SetResult(record []byte, trap *Trap) error {
	c.result, c.Trap = nil, trap
	if trap != nil {
		return nil
	}
	r, err := abi.ParseResult(record, c.Hook)
	if err != nil {
		return err
	}
	c.result = Decode(r)
	return nil
}

// Encode writes the case as a file that [Parse] reads.
func (c *Case) Encode() ([]byte, error) {
	raw := rawCase{Name: c.Name, Hook: c.Hook.String(), Module: c.Module, Live: c.Live, Request: c.request, Host: c.Host,
		Result: c.result, Trap: c.Trap, Error: c.Error, Log: c.Log}
	if c.Fuel != 0 {
		raw.Fuel = &fuel{c.Fuel, c.Exact}
	}
	if c.Limits != (Limits{}) {
		raw.Limits = &c.Limits
	}
	if raw.Config = c.Config; c.Config != nil && (!json.Valid(c.Config) || bytes.HasPrefix(c.Config, []byte(`"`))) {
		text, err := json.Marshal(string(c.Config))
		if err != nil {
			return nil, err
		}
		raw.Config = text
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(raw)
	return b.Bytes(), err
}
