package conformance

import (
	"bytes"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

//go:embed cases/*.json guests/*.wasm
var embedded embed.FS

// Case is one thing that a host must do: bind policies to a route and answer requests, or
// refuse them.
type Case struct {
	// Group is the name of the file that the case stands in.
	Group string `json:"-"`
	// ID is the case's route: lower-case letters, digits and hyphens.
	ID string `json:"-"`
	// Name says what the case shows.
	Name string `json:"name"`
	policy
	// Policies are those of a case with several, in their order.
	Policies []policy `json:"policies,omitempty"`
	// Refused wants the host to refuse the policies.
	Refused bool `json:"refused,omitempty"`
	// Steps are the requests, one after another.
	Steps []step `json:"steps,omitempty"`
}

// policy is a guest and how it is bound.
type policy struct {
	Guest     string          `json:"guest,omitempty"`
	Config    json.RawMessage `json:"config,omitempty"`
	Grants    json.RawMessage `json:"grants,omitempty"`
	OnError   string          `json:"on_error,omitempty"`
	Isolation string          `json:"isolation,omitempty"`
	// Fuel and Memory are in the document's terms: a number, and such as 4MiB.
	Fuel   uint64 `json:"fuel,omitempty"`
	Memory string `json:"memory,omitempty"`
	// Results, Raw and Patch are what the guest puppet answers, by hook: fields, a record
	// in hex, and bytes to write over a record by their offset.
	Results map[string]casefile.Fields   `json:"results,omitempty"`
	Raw     map[string]string            `json:"raw,omitempty"`
	Patch   map[string]map[string]string `json:"patch,omitempty"`
}

// step is one request and what must come of it.
type step struct {
	Method  string      `json:"method,omitempty"` // default GET
	Path    string      `json:"path,omitempty"`   // below the route, with query; default /x
	Headers [][2]string `json:"headers,omitempty"`
	Body    string      `json:"body,omitempty"`
	// Times is how often the request is sent; each answer must be as wanted. 0 is once.
	Times int `json:"times,omitempty"`
	// Await sends the request until the answer is as wanted, for at most ten seconds.
	Await bool `json:"await,omitempty"`
	Want  want `json:"want"`
}

// want is what the client and the upstream must see; what is not named may be anything.
type want struct {
	Status  int                `json:"status,omitempty"`
	Headers map[string]*string `json:"headers,omitempty"` // null is absent; values joined by comma and blank
	Body    *string            `json:"body,omitempty"`
	// Record is the request record that the body must be.
	Record *record `json:"record,omitempty"`
	// Upstream is what must arrive there: false for nothing.
	Upstream json.RawMessage `json:"upstream,omitempty"`
}

// record is what a request record must hold.
type record struct {
	Hook string `json:"hook"`
	// Fields must be equal; of pairs only those names count that are listed.
	Fields casefile.Fields `json:"fields,omitempty"`
	// Exact must be equal, pairs too.
	Exact casefile.Fields `json:"exact,omitempty"`
	// Only is every field that there is.
	Only []string `json:"only,omitempty"`
	// Present and Absent are fields whose values are the host's affair.
	Present []string `json:"present,omitempty"`
	Absent  []string `json:"absent,omitempty"`
}

// arrived is what a request at the upstream must be.
type arrived struct {
	Method  string             `json:"method,omitempty"`
	Target  string             `json:"target,omitempty"`
	Host    string             `json:"host,omitempty"`
	Headers map[string]*string `json:"headers,omitempty"`
	Body    *string            `json:"body,omitempty"`
}

// Suite is every case, sorted by group, with words such as ${UPSTREAM} still in it.
func Suite() ([]*Case, error) { return suite(embedded, nil) }

// suite reads the cases; replace makes texts of the words in them.
func suite(files fs.FS, replace map[string]string) (out []*Case, err error) {
	names, err := fs.Glob(files, "cases/*.json")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	seen := map[string]bool{}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		group := strings.TrimSuffix(path.Base(name), ".json")
		for i, one := range list {
			c, err := readCase(group, one, replace)
			if err != nil {
				return nil, fmt.Errorf("read %s: case %d: %w", name, i, err)
			}
			if seen[c.ID] {
				return nil, fmt.Errorf("read %s: case %q is there twice", name, c.ID)
			}
			seen[c.ID] = true
			out = append(out, c)
		}
	}
	return out, nil
}

func readCase(group string, text []byte, replace map[string]string) (*Case, error) {
	var named struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(text, &named); err != nil {
		return nil, err
	}
	id := group + "-" + slug(named.Name)
	if replace != nil {
		pairs := []string{"${ID}", id}
		for word, value := range replace {
			pairs = append(pairs, "${"+word+"}", value)
		}
		text = []byte(strings.NewReplacer(pairs...).Replace(string(text)))
	}
	c := &Case{Group: group, ID: id}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("%q: %w", named.Name, err)
	}
	switch {
	case c.Name == "":
		return nil, errors.New("name is missing")
	case (c.Guest == "") == (len(c.Policies) == 0):
		return nil, fmt.Errorf("%q: want one of guest and policies", c.Name)
	case c.Refused == (len(c.Steps) > 0):
		return nil, fmt.Errorf("%q: want one of refused and steps", c.Name)
	}
	if c.Guest != "" {
		c.Policies = []policy{c.policy}
	}
	return c, nil
}

// slug is a name as a part of a path.
func slug(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-")
}

// script is the config of the guest puppet: what each hook answers.
func (p *policy) script() (json.RawMessage, error) {
	records := map[abi.Hook][]byte{abi.HookAuthorize: nil}
	for name, fields := range p.Results {
		h, ok := abi.HookByName(name)
		if !ok {
			return nil, fmt.Errorf("results: unknown hook %q", name)
		}
		b, err := casefile.EncodeResult(h, fields)
		if err != nil {
			return nil, fmt.Errorf("results of %s: %w", name, err)
		}
		records[h] = b
	}
	for name, text := range p.Raw {
		h, ok := abi.HookByName(name)
		b, err := hex.DecodeString(text)
		if !ok || err != nil {
			return nil, fmt.Errorf("raw: %q: want a hook and hex", name)
		}
		records[h] = b
	}
	if records[abi.HookAuthorize] == nil { // one without an opinion would let nobody in
		b, err := casefile.EncodeResult(abi.HookAuthorize, casefile.Fields{"decision": json.RawMessage(`"allow"`)})
		if err != nil {
			return nil, err
		}
		records[abi.HookAuthorize] = b
	}
	if err := p.patch(records); err != nil {
		return nil, err
	}
	var b strings.Builder
	for h := range abi.Hooks() {
		if r, ok := records[h]; ok {
			fmt.Fprintf(&b, "%02x%08x%x", uint16(h), len(r), r)
		}
	}
	return json.Marshal(b.String())
}

// patch writes over the records.
func (p *policy) patch(records map[abi.Hook][]byte) error {
	for name, patches := range p.Patch {
		h, _ := abi.HookByName(name)
		for at, text := range patches {
			var offset int
			_, err := fmt.Sscanf(at, "%d", &offset)
			b, hexErr := hex.DecodeString(text)
			if err := errors.Join(err, hexErr); err != nil || offset+len(b) > len(records[h]) {
				return fmt.Errorf("patch of %q at %q: got %q, want hex inside a record of %d bytes: %v", name, at, text, len(records[h]), err)
			}
			copy(records[h][offset:], b)
		}
	}
	return nil
}
