package main

import (
	"strconv"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/field"
	"github.com/wasmgate/wasmgate/plugins/internal/json"
	"github.com/wasmgate/wasmgate/plugins/internal/selected"
	"github.com/wasmgate/wasmgate/plugins/internal/template"
	"github.com/wasmgate/wasmgate/sdk/go"
)

// policy is the decoded config.
type policy struct {
	request  change
	path     template.Template // nil leaves it
	response change
	status   int // of the response; 0 leaves it
}

// change is what is done to a request or a response.
type change struct {
	edits []wasmgate.Edit // that the host can do alone
	body  bodyChange
}

// bodyChange is what is done to a JSON body: remove, then rename, then set.
type bodyChange struct {
	remove []path
	rename []rename
	set    []assignment
}

type path []string

type rename struct{ from, to path }

type assignment struct {
	at    path
	value json.Value
	texts map[string]template.Template // of the strings in value
}

func (b *bodyChange) empty() bool { return len(b.remove)+len(b.rename)+len(b.set) == 0 }

// decode reads a config.
func decode(text string) (*policy, error) {
	c := config.Parse("config", text)
	if !c.Has("request") && !c.Has("response") {
		c.Fail("request", "want a change here or in response")
	}
	p := &policy{}
	request, response := c.Object("request"), c.Object("response")
	p.request = readChange(request, template.Request)
	p.readPath(request)
	if method := request.String("method", ""); method != "" {
		if !field.IsToken(method) {
			request.Fail("method", "got "+strconv.Quote(method)+", want a method such as POST")
		}
		p.request.edits = append(p.request.edits, wasmgate.SetMethod(wasmgate.Text(method)))
	}
	readQuery(request.Object("query"), &p.request)
	p.status = int(response.Int("status", 0, 200, 599))
	p.response = readChange(response, template.Response)
	const maxEdits = 250 // the ABI's max_edits, and room for path and body
	if len(p.request.edits) > maxEdits || len(p.response.edits) > maxEdits {
		c.Fail("request", "more than "+strconv.Itoa(maxEdits)+" edits")
	}
	return p, c.Err()
}

// readPath reads the path. What the host may put into it as it stands makes a static edit.
func (p *policy) readPath(c *config.Object) {
	if !c.Has("path") {
		return
	}
	t, fault := template.Parse(c.String("path", ""), template.Request)
	if fault == "" && (len(t) == 0 || t[0].Selector == "" && t[0].Literal[0] != '/' || t[0].Selector != "" && t[0].Selector != "path") {
		fault = "want a path that begins with /"
	}
	for _, part := range t {
		for i := 0; i < len(part.Literal) && fault == ""; i++ {
			if b := part.Literal[i]; b <= ' ' || b >= 0x7f || b == '?' || b == '#' {
				fault = "byte " + strconv.Quote(part.Literal[i:i+1]) + " may not stand in a path: percent-encode it"
			}
		}
	}
	if fault != "" {
		c.Fail("path", fault)
		return
	}
	for _, part := range t {
		if part.Selector != "" && !selected.PathSafe(part.Selector) {
			p.path = t
			return
		}
	}
	p.request.edits = append(p.request.edits, wasmgate.SetPath(t.Value()))
}

// readChange reads headers and body.
func readChange(c *config.Object, phase template.Phase) (ch change) {
	h := c.Object("headers")
	for _, key := range [...]string{"set", "add"} {
		for _, pair := range h.Pairs(key) {
			lower, fault := field.Settable(pair.Name)
			t, bad := template.Parse(pair.Value, phase)
			if fault == "" {
				fault = bad
			}
			if text, ok := t.Constant(); ok && fault == "" {
				fault = field.Value(text)
			}
			if fault != "" {
				h.FailAt(h.Path(key)+"."+pair.Name, fault)
				continue
			}
			edit := wasmgate.SetHeader
			if key == "add" {
				edit = wasmgate.AddHeader
			}
			ch.edits = append(ch.edits, edit(lower, t.Value()))
		}
	}
	for _, name := range h.Strings("remove") { // last, so that a value may move to another name
		lower, fault := field.Settable(name)
		if fault != "" {
			h.Fail("remove", fault)
		}
		ch.edits = append(ch.edits, wasmgate.RemoveHeader(lower))
	}
	ch.body = readBody(c.Object("body"), phase)
	return ch
}

func readQuery(c *config.Object, ch *change) {
	for _, key := range [...]string{"set", "add"} {
		for _, pair := range c.Pairs(key) {
			t, fault := template.Parse(pair.Value, template.Request)
			if fault == "" && pair.Name == "" {
				fault = "empty name"
			}
			if fault != "" {
				c.FailAt(c.Path(key)+"."+pair.Name, fault)
				continue
			}
			edit := wasmgate.SetQuery
			if key == "add" {
				edit = wasmgate.AddQuery
			}
			ch.edits = append(ch.edits, edit(pair.Name, t.Value()))
		}
	}
	for _, name := range c.Strings("remove") {
		ch.edits = append(ch.edits, wasmgate.RemoveQuery(name))
	}
}

func readBody(c *config.Object, phase template.Phase) (b bodyChange) {
	for _, text := range c.Strings("remove") {
		b.remove = append(b.remove, readKeys(c, "remove", text))
	}
	for _, pair := range c.Pairs("rename") {
		b.rename = append(b.rename, rename{readKeys(c, "rename", pair.Name), readKeys(c, "rename", pair.Value)})
	}
	set := c.Value("set")
	if set.Kind != 0 && set.Kind != json.Object {
		c.Fail("set", "got "+set.Kind.String()+", want object")
		return b
	}
	for i := range set.Items {
		a := assignment{at: readKeys(c, "set", set.Items[i].Name), value: set.Items[i], texts: map[string]template.Template{}}
		if fault := a.readTexts(&a.value, phase); fault != "" {
			c.FailAt(c.Path("set")+"."+set.Items[i].Name, fault)
		}
		b.set = append(b.set, a)
	}
	return b
}

// readTexts parses the strings in v as templates, once each.
func (a *assignment) readTexts(v *json.Value, phase template.Phase) (fault string) {
	if v.Kind == json.String {
		a.texts[v.Text], fault = template.Parse(v.Text, phase)
	}
	for i := range v.Items {
		if fault := a.readTexts(&v.Items[i], phase); fault != "" {
			return fault
		}
	}
	return fault
}

// readKeys reads a.b.0: names and indexes with dots between, \. for a dot in a name.
func readKeys(c *config.Object, key, text string) (p path) {
	name := ""
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '.' || text[i+1] == '\\'):
			i++
			name += text[i : i+1]
		case text[i] == '.':
			p, name = append(p, name), ""
		default:
			name += text[i : i+1]
		}
	}
	p = append(p, name)
	for _, name := range p {
		if name == "" {
			c.Fail(key, "got "+strconv.Quote(text)+", want names with dots between, as in user.id")
		}
	}
	if len(p) > maxDepth {
		c.Fail(key, "got "+strconv.Itoa(len(p))+" names, want at most "+strconv.Itoa(maxDepth))
	}
	return p
}

// maxDepth keeps what is set within what a strict reader of the body takes.
const maxDepth = 32
