package conformance

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

//go:embed cases/*.json guests/*.wasm
var files embed.FS

// Suite is all cases with their guests.
type Suite struct {
	Cases []*Case
	// Modules are the guests by name, with their manifests in them.
	Modules map[string][]byte
}

// Case is one policy on one route, and requests to it.
type Case struct {
	Group, Name string
	// Binding is what the host has to bind for it.
	Binding Binding
	// Steps are the requests, in order; none where the policy must be refused.
	Steps []Step
}

// Binding is a policy on a route. The suite's names are not the host's: a host maps them.
type Binding struct {
	// Route is the path to serve, for every method, such as /edits/3.
	Route string `json:"route"`
	// Upstream is where the route's requests go, when no plugin says otherwise.
	Upstream string `json:"upstream"`
	// Module is the guest's name; its file is NAME.wasm.
	Module string `json:"module"`
	// Config is what configure gets: a string byte for byte, anything else as JSON.
	Config json.RawMessage `json:"config,omitempty"`
	// Grants are http hosts, kv prefixes, secret names and jwks URLs.
	Grants map[string][]string `json:"grants,omitempty"`
	// OnError is fail, deny or skip; empty is fail.
	OnError string `json:"on_error,omitempty"`
	// Isolation is pooled or fresh; empty is pooled.
	Isolation string `json:"isolation,omitempty"`
	// Refused says that the host must refuse the policy.
	Refused bool `json:"refused,omitempty"`
	// Then are further policies of the route, in their order; of a binding only module,
	// config, grants, on_error and isolation count in them.
	Then []Binding `json:"then,omitempty"`
}

// Step is one request and what must come of it. In all its texts ROUTE stands for the case's
// route, UPSTREAM for the upstream's URL and UPSTREAM_HOST for its host and port.
type Step struct {
	Method  string      `json:"method"` // GET when empty
	Query   string      `json:"query"`
	Path    string      `json:"path"` // behind the route
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body"`
	// Results are what the hooks of the guest puppet answer: a result's fields, or a text as
	// puppet.c says.
	Results map[string]json.RawMessage `json:"results"`
	// Arguments are what the guest power hands over: text, or {"record": FIELDS}.
	Arguments []json.RawMessage `json:"arguments"`
	Want      Want              `json:"want"`
	// Times is how often the request is sent; each answer must be as wanted. 0 is once.
	Times int `json:"times"`
	// Await sends the request again until the answer is as wanted, see [Target.Patience].
	Await bool `json:"await"`
	// Upstream is what must have arrived there; nil is nothing.
	Upstream *Sent `json:"upstream"`
}

// Want is what the client must get. What is not there is not looked at.
type Want struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Absent  []string          `json:"absent"` // headers
	Body    *string           `json:"body"`
	Holds   []string          `json:"holds"` // parts of the body
	// Record is fields of the request record that is the body, and Without those that it must not have.
	Record  casefile.Fields `json:"record"`
	Without []string        `json:"without"`
	Hook    string          `json:"hook"` // of that record
}

// Sent is a request as it arrived at the upstream.
type Sent struct {
	Method  string            `json:"method"`
	Target  string            `json:"target"` // path and query; ROUTE stands for the route
	Host    string            `json:"host"`
	Headers map[string]string `json:"headers"`
	Absent  []string          `json:"absent"`
	Body    *string           `json:"body"`
}

// group is a file of cases.
type group struct {
	Doc   string `json:"doc"`
	Cases []struct {
		policy
		Name    string   `json:"name"`
		Then    []policy `json:"then"`
		Refused bool     `json:"refused"`
		Steps   []Step   `json:"steps"`
	} `json:"cases"`
}

// policy is a guest and how it is bound.
type policy struct {
	Guest     string              `json:"guest"`
	Manifest  json.RawMessage     `json:"manifest"`
	Config    json.RawMessage     `json:"config"`
	Configure casefile.Fields     `json:"configure"` // what puppet's configure answers
	Script    map[string]any      `json:"script"`    // what the guest script answers, by hook: fields, or hex
	Grants    map[string][]string `json:"grants"`
	OnError   string              `json:"on_error"`
	Isolation string              `json:"isolation"`
}

// Load reads the suite that is inside this package.
func Load() (*Suite, error) {
	s := &Suite{Modules: map[string][]byte{}}
	names, err := fs.Glob(files, "cases/*.json")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := s.load(name); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return s, nil
}

func (s *Suite) load(name string) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	var g group
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return err
	}
	title := strings.TrimSuffix(path.Base(name), ".json")
	for i, c := range g.Cases {
		b, err := s.bind(&c.policy)
		b.Route, b.Refused = fmt.Sprintf("/%s/%d", title, i+1), c.Refused
		for k := range c.Then {
			then, thenErr := s.bind(&c.Then[k])
			b.Then, err = append(b.Then, then), errors.Join(err, thenErr)
		}
		for k := range c.Steps {
			_, stepErr := c.Steps[k].prepared(b.Route, "http://127.0.0.1:1")
			err = errors.Join(err, stepErr)
		}
		if err == nil && c.Refused == (len(c.Steps) > 0) {
			err = fmt.Errorf("got %d steps and refused %v, want one of them", len(c.Steps), c.Refused)
		}
		if err != nil {
			return fmt.Errorf("case %q: %w", c.Name, err)
		}
		s.Cases = append(s.Cases, &Case{Group: title, Name: c.Name, Binding: b, Steps: c.Steps})
	}
	return nil
}

// bind makes a policy a binding without a route.
func (s *Suite) bind(p *policy) (b Binding, err error) {
	b = Binding{Config: p.Config, Grants: p.Grants, OnError: p.OnError, Isolation: p.Isolation}
	if b.Module, err = s.module(p.Guest, p.Manifest); err == nil && p.Configure != nil {
		b.Config, err = configText(p.Configure)
	}
	if err == nil && p.Script != nil {
		b.Config, err = scriptText(p.Script)
	}
	return b, err
}

// scriptText is a config that makes the guest script answer each hook as it says.
func scriptText(answers map[string]any) (json.RawMessage, error) {
	var text strings.Builder
	for h := range abi.Hooks() {
		answer, ok := answers[h.String()]
		if !ok {
			continue
		}
		raw, err := json.Marshal(answer)
		if err != nil {
			return nil, err
		}
		record, err := resultText(h, raw)
		if err != nil {
			return nil, fmt.Errorf("script of %v: %w", h, err)
		}
		fmt.Fprintf(&text, "%02x%08x%s", uint16(h), len(record)/2, record)
	}
	return json.Marshal(text.String())
}

// configText is a config that makes puppet's configure answer with fields.
func configText(fields casefile.Fields) (json.RawMessage, error) {
	record, err := casefile.EncodeResult(abi.HookConfigure, fields)
	if err != nil {
		return nil, err
	}
	return json.Marshal(hex.EncodeToString(record))
}

// module is the name of a guest with a manifest, or as it is.
func (s *Suite) module(guest string, manifest json.RawMessage) (string, error) {
	wasm, err := files.ReadFile("guests/" + guest + ".wasm")
	if err != nil {
		return "", err
	}
	name := strings.ReplaceAll(guest, "_", "-")
	if manifest != nil {
		var whole map[string]json.RawMessage
		if err := json.Unmarshal(manifest, &whole); err != nil {
			return "", err
		}
		sum := sha256.Sum256(manifest)
		name += "-" + hex.EncodeToString(sum[:4])
		id, _ := json.Marshal(name) // a string
		for key, value := range map[string]json.RawMessage{"id": id, "version": []byte(`"1"`), "abi": []byte("1")} {
			if whole[key] == nil {
				whole[key] = value
			}
		}
		text, err := json.Marshal(whole)
		if err != nil {
			return "", err
		}
		wasm = withSection(wasm, abi.ManifestSection, text)
	}
	s.Modules[name] = wasm
	return name, nil
}

// withSection appends a custom section, whatever is in it: bad manifests are cases, too.
func withSection(wasm []byte, name string, content []byte) []byte {
	vector := func(b []byte) []byte { return append(leb(len(b)), b...) }
	return append(append(slices.Clone(wasm), 0), vector(append(vector([]byte(name)), content...))...)
}

func leb(n int) (out []byte) {
	for ; n >= 0x80; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

// prepared is the step with its words replaced, and results and arguments put into headers.
func (step *Step) prepared(route, upstream string) (*Step, error) {
	text, err := json.Marshal(step)
	if err != nil {
		return nil, err
	}
	_, host, _ := strings.Cut(upstream, "//")
	ready := &Step{}
	words := strings.NewReplacer("UPSTREAM_HOST", host, "UPSTREAM", upstream, "ROUTE", route)
	if err := json.Unmarshal([]byte(words.Replace(string(text))), ready); err != nil {
		return nil, err
	}
	for _, h := range slices.Sorted(maps.Keys(ready.Results)) {
		hook, ok := abi.HookByName(h)
		if !ok {
			return nil, fmt.Errorf("results: unknown hook %q", h)
		}
		text, err := resultText(hook, ready.Results[h])
		if err != nil {
			return nil, fmt.Errorf("results of %s: %w", h, err)
		}
		ready.Headers = append(ready.Headers, [2]string{"x-wg-" + h, text})
	}
	for n, argument := range ready.Arguments {
		text, err := argumentText(argument)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", n+1, err)
		}
		ready.Headers = append(ready.Headers, [2]string{fmt.Sprintf("x-%d", n+1), text})
	}
	return ready, nil
}

func resultText(hook abi.Hook, result json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(result, &text) == nil {
		return text, nil
	}
	var fields casefile.Fields
	if err := json.Unmarshal(result, &fields); err != nil {
		return "", err
	}
	record, err := casefile.EncodeResult(hook, fields)
	return hex.EncodeToString(record), err
}

func argumentText(argument json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(argument, &text) == nil {
		return hex.EncodeToString([]byte(text)), nil
	}
	var call struct{ Record casefile.Fields }
	if err := json.Unmarshal(argument, &call); err != nil {
		return "", err
	}
	record, err := casefile.EncodeResult(0, call.Record)
	return hex.EncodeToString(record), err
}

// Bindings are what a host must bind; upstream is where the suite's upstream listens, such as
// http://127.0.0.1:9000.
func (s *Suite) Bindings(upstream string) []Binding {
	list := make([]Binding, 0, len(s.Cases))
	for _, c := range s.Cases {
		list = append(list, c.Binding.to(upstream))
	}
	return list
}

// to is b with its upstream, which grants and configs may name as UPSTREAM.
func (b Binding) to(upstream string) Binding {
	b.Upstream = upstream + b.Route
	grants := map[string][]string{}
	for kind, list := range b.Grants {
		for _, each := range list {
			grants[kind] = append(grants[kind], strings.ReplaceAll(each, "UPSTREAM", upstream))
		}
	}
	if len(grants) > 0 {
		b.Grants = grants
	}
	then := slices.Clone(b.Then)
	for i := range then {
		then[i] = then[i].to(upstream)
	}
	b.Then = then
	return b
}
