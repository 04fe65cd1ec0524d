package casefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// Case is one call of a hook and what must come of it.
type Case struct {
	// Name says what the case shows.
	Name string
	// Hook is what is called.
	Hook abi.Hook
	// Config is what the policy says: JSON, or the bytes of a string; nil for no call of
	// configure.
	Config []byte
	// Host is what capabilities answer; never nil.
	Host *Host
	// Error is a part of the text that must refuse Config; empty when Result counts.
	Error string
	// Trap is how the call must trap; nil when Result counts.
	Trap *Trap
	// Log is what the call must log, as [Host].Lines; nil is anything.
	Log []string
	// Fuel is the most that the call may cost; 0 is any.
	Fuel uint64
	// Exact says that the call must cost Fuel, no less.
	Exact bool
	// Limits are what the guest may take.
	Limits Limits
	// Module is the plugin that was recorded and Live what happened then; nil for a case that
	// somebody wrote.
	Module *Module
	Live   *Live

	request Fields
	result  Fields
}

// Guest runs hooks: a Wasm guest, or the plugin's own code in this process.
type Guest interface {
	// Call runs a hook on a request record and gives the result record, which holds until
	// the next call, and the fuel it took, 0 when that is not counted. The error is a trap.
	Call(hook abi.Hook, record []byte) (result []byte, fuel uint64, err error)
}

// Native is a plugin in this process as a [Guest]: the Go SDK's wasmgate.Call. A panic
// is a trap.
type Native func(hook uint16, record []byte) (result []byte)

// Call runs the hook.
func (n Native) Call(hook abi.Hook, record []byte) (result []byte, fuel uint64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("trap: %v", p)
		}
	}()
	return n(uint16(hook), record), 0, nil
}

// Load reads the cases of a file. The errors name file and case.
func Load(path string) ([]*Case, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cases, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read case file %s: %w", path, err)
	}
	return cases, nil
}

// rawCase is a case as written.
type rawCase struct {
	Name    string          `json:"name"`
	Hook    string          `json:"hook"`
	Module  *Module         `json:"module,omitempty"`
	Live    *Live           `json:"live,omitempty"`
	Limits  *Limits         `json:"limits,omitempty"`
	Config  json.RawMessage `json:"config,omitempty"`
	Request Fields          `json:"request,omitempty"`
	Host    *Host           `json:"host,omitempty"`
	Result  Fields          `json:"result,omitzero"`
	Trap    *Trap           `json:"trap,omitempty"`
	Error   string          `json:"error,omitempty"`
	Log     []string        `json:"log,omitzero"`
	Fuel    *fuel           `json:"fuel,omitempty"`
}

// Parse reads the cases of a file's text.
func Parse(text []byte) ([]*Case, error) {
	var many struct {
		Cases []json.RawMessage `json:"cases"`
	}
	if json.Unmarshal(text, &many) == nil && many.Cases != nil {
		if err := strict(text, &many); err != nil {
			return nil, err
		}
	} else {
		many.Cases = []json.RawMessage{text}
	}
	var out []*Case
	seen := map[string]bool{}
	for i, one := range many.Cases {
		var raw rawCase
		if err := strict(one, &raw); err != nil {
			return nil, fmt.Errorf("case %d: %w", i, err)
		}
		c, err := raw.check()
		if err != nil {
			return nil, fmt.Errorf("case %d %q: %w", i, raw.Name, err)
		}
		if seen[c.Name] {
			return nil, fmt.Errorf("case %d %q: its name is there twice", i, c.Name)
		}
		seen[c.Name] = true
		out = append(out, c)
	}
	return out, nil
}

func (raw *rawCase) check() (*Case, error) {
	hook, ok := abi.HookByName(raw.Hook)
	switch {
	case raw.Name == "":
		return nil, errors.New("name is missing")
	case !ok:
		return nil, fmt.Errorf("unknown hook %q", raw.Hook)
	case count(raw.Result != nil, raw.Trap != nil, raw.Error != "") != 1:
		return nil, errors.New("want one of result, trap and error")
	case raw.Trap != nil && hook == abi.HookConfigure:
		return nil, errors.New("trap of configure, want error")
	case raw.Error != "" && raw.Request != nil:
		return nil, errors.New("a case with error has no request")
	case raw.Error != "" && raw.Config == nil || hook == abi.HookConfigure && raw.Config == nil:
		return nil, errors.New("config is missing")
	}
	c := &Case{Name: raw.Name, Hook: hook, Host: raw.Host, Error: raw.Error, Trap: raw.Trap, Log: raw.Log,
		Module: raw.Module, Live: raw.Live, request: raw.Request, result: raw.Result}
	if raw.Fuel != nil {
		c.Fuel, c.Exact = raw.Fuel.units, raw.Fuel.exact
	}
	if raw.Limits != nil {
		c.Limits = *raw.Limits
	}
	if c.Host == nil {
		c.Host = &Host{}
	}
	if err := c.Host.check(); err != nil {
		return nil, err
	}
	if raw.Config != nil {
		// As a gateway gives it, whoever made the file pretty.
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw.Config); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		c.Config = compact.Bytes()
		var s string
		if json.Unmarshal(raw.Config, &s) == nil {
			c.Config = []byte(s)
		}
	}
	// Both sides are encoded once now, so that a slip in the file is not taken for the plugin's.
	if _, err := c.Record(nil); err != nil {
		return nil, err
	}
	_, err := encode[abi.ResultField](hook, c.result, nil)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return c, nil
}

// Record is the request record; mask leaves out and cuts what the plugin's manifest
// does not ask for, nil nothing.
func (c *Case) Record(mask *abi.Mask) ([]byte, error) {
	fields := maps.Clone(c.request)
	var err error
	if mask != nil {
		err = errors.Join(cutBody(fields, abi.FieldBody, mask.Body), cutBody(fields, abi.FieldResponseBody, mask.ResponseBody))
	}
	var record []byte
	if err == nil {
		record, err = encode[abi.Field](c.Hook, fields, mask)
	}
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	return record, nil
}

// Run configures g, calls the hook and compares; the error says what differs. mask is
// the hook's in the plugin's manifest, nil for everything. Who makes g connects it with
// c.Host.
func (c *Case) Run(g Guest, mask *abi.Mask) error {
	c.Host.Rewind()
	if c.Config != nil {
		done, err := c.configure(g)
		if done || err != nil {
			return err
		}
	}
	record, err := c.Record(mask)
	if err != nil {
		return err
	}
	c.Host.Lines = nil
	result, took, err := g.Call(c.Hook, record)
	if err := c.Trap.Check(err); err != nil {
		return fmt.Errorf("call %v: %w", c.Hook, err)
	}
	var differs error
	if err == nil {
		differs = c.Compare(result)
	}
	return errors.Join(differs, c.CheckFuel(took), c.CheckLog(c.Host.Lines), c.Host.Check())
}

// configure calls configure; done tells that this was all of the case.
func (c *Case) configure(g Guest) (done bool, err error) {
	var w abi.Writer[abi.Field]
	record := make([]byte, len(c.Config)+256)
	w.Start(record, abi.HookConfigure, 2)
	w.Bytes(abi.FieldConfig, c.Config)
	w.String(abi.FieldPluginID, c.pluginID())
	n, err := w.Finish()
	if err != nil {
		return true, err
	}
	out, _, err := g.Call(abi.HookConfigure, record[:n])
	if err != nil {
		return true, fmt.Errorf("call configure: %w", err)
	}
	if c.Hook == abi.HookConfigure && c.Error == "" {
		return true, c.Compare(out)
	}
	r, err := abi.ParseResult(out, abi.HookConfigure)
	if err != nil {
		return true, fmt.Errorf("call configure: %w", err)
	}
	refused, text := r.Has(abi.ResultError), string(r.Bytes(abi.ResultError))
	switch {
	case c.Error == "" && refused:
		return true, fmt.Errorf("config is refused with %q, want accepted", text)
	case c.Error != "" && !refused:
		return true, fmt.Errorf("config is accepted, want refused with %q", c.Error)
	case !strings.Contains(text, c.Error):
		return true, fmt.Errorf("config is refused with %q, want a text with %q", text, c.Error)
	}
	return c.Error != "", nil
}

// pluginID is what the plugin is called.
func (c *Case) pluginID() string {
	if c.Module != nil {
		return c.Module.ID
	}
	return "test"
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// Difference is a field of a result that is not as wanted, in canonical spelling; "absent"
// when it is.
type Difference struct{ Field, Got, Want string }

// Compare says how a result record differs from the one wanted.
func (c *Case) Compare(result []byte) error {
	differences, err := c.Differences(result)
	if err != nil {
		return err
	}
	var faults []error
	for _, d := range differences {
		faults = append(faults, fmt.Errorf("result field %s: got %s, want %s", d.Field, d.Got, d.Want))
	}
	return errors.Join(faults...)
}

// Differences are the fields of a result record that differ from those wanted, in the order of
// their ids.
func (c *Case) Differences(result []byte) ([]Difference, error) {
	got, err := abi.ParseResult(result, c.Hook)
	if err != nil {
		return nil, err
	}
	record, err := encode[abi.ResultField](c.Hook, c.result, nil)
	if err != nil {
		return nil, err
	}
	want, err := abi.ParseResult(record, c.Hook)
	if err != nil {
		return nil, fmt.Errorf("result of the case: %w", err)
	}
	var differences []Difference
	for id := abi.ResultField(1); id < 64; id++ {
		g, w := describe(got, id), describe(want, id)
		if g != w {
			differences = append(differences, Difference{id.String(), g, w})
		}
	}
	return differences, nil
}

// strict decodes all of text and refuses unknown keys.
func strict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("text after the value")
	}
	return nil
}
