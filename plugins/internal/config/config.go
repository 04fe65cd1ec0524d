package config

import (
	"errors"
	"strconv"

	"github.com/wasmgate/wasmgate/plugins/internal/json"
)

// Object is a JSON object that is being decoded. Its methods read a member each, give the
// zero value or default for one that is absent or wrong, and note what is wrong.
type Object struct {
	path  string
	value json.Value
	read  []bool // members that were asked for
	root  *faults
}

type faults struct {
	list    []string
	objects []*Object
}

// Parse reads text, which is an object; empty text is an empty one. name is what errors
// call it. A syntax error shows in [Object.Err].
func Parse(name, text string) *Object {
	root := new(faults)
	v := json.Value{Kind: json.Object}
	if text != "" {
		parsed, err := json.Parse(text)
		switch {
		case err != nil:
			root.list = append(root.list, name+": "+err.Error())
		case parsed.Kind != json.Object:
			root.list = append(root.list, name+": got "+parsed.Kind.String()+", want object")
		default:
			v = parsed
		}
	}
	return root.object(name, v)
}

func (f *faults) object(path string, v json.Value) *Object {
	o := &Object{path: path, value: v, read: make([]bool, len(v.Items)), root: f}
	f.objects = append(f.objects, o)
	return o
}

// Err is every fault of the whole config, members that nobody asked for among them; nil
// when there is none. Call it last, on any object of the config.
func (o *Object) Err() error {
	all := ""
	add := func(fault string) {
		if all != "" {
			all += "; "
		}
		all += fault
	}
	for _, fault := range o.root.list {
		add(fault)
	}
	for _, object := range o.root.objects {
		for i, read := range object.read {
			if !read {
				add(object.Path(object.value.Items[i].Name) + ": unknown key")
			}
		}
	}
	if all == "" {
		return nil
	}
	return errors.New(all)
}

// Path is where the member of that name stands.
func (o *Object) Path(name string) string { return o.path + "." + name }

// Fail notes a fault of the member of that name.
func (o *Object) Fail(name, fault string) { o.FailAt(o.Path(name), fault) }

// FailAt notes a fault of what stands at path.
func (o *Object) FailAt(path, fault string) {
	o.root.list = append(o.root.list, path+": "+fault)
}

// Has tells whether there is a member of that name.
func (o *Object) Has(name string) bool { return o.value.Find(name) != nil }

// Value is the member of that name, of any kind; absent when there is none.
func (o *Object) Value(name string) json.Value {
	for i := range o.value.Items {
		if o.value.Items[i].Name == name {
			o.read[i] = true
			return o.value.Items[i]
		}
	}
	return json.Value{}
}

// want is the member of that name when it is of that kind; absent otherwise.
func (o *Object) want(name string, kind json.Kind) (json.Value, bool) {
	v := o.Value(name)
	if v.Kind == 0 {
		return v, false
	}
	return v, o.check(o.Path(name), &v, kind)
}

func (o *Object) check(path string, v *json.Value, kind json.Kind) bool {
	if v.Kind != kind {
		o.FailAt(path, "got "+v.Kind.String()+", want "+kind.String())
	}
	return v.Kind == kind
}

// String is a string, missing when it is absent.
func (o *Object) String(name, missing string) string {
	if v, ok := o.want(name, json.String); ok {
		return v.Text
	}
	return missing
}

// Required is a string that must be there and not be empty.
func (o *Object) Required(name string) string {
	s := o.String(name, "")
	if v := o.value.Find(name); v == nil {
		o.Fail(name, "missing, want string")
	} else if v.Kind == json.String && s == "" {
		o.Fail(name, "empty")
	}
	return s
}

// OneOf is one of words, the first when it is absent.
func (o *Object) OneOf(name string, words ...string) string {
	s := o.String(name, words[0])
	want := ""
	for i, w := range words {
		if s == w {
			return s
		}
		if i > 0 {
			want += ", "
		}
		want += w
	}
	o.Fail(name, "got "+strconv.Quote(s)+", want one of "+want)
	return words[0]
}

// Bool is a boolean, false when it is absent.
func (o *Object) Bool(name string) bool {
	v, ok := o.want(name, json.Bool)
	return ok && v.Raw == "true"
}

// Int is a whole number from least to most, missing when it is absent.
func (o *Object) Int(name string, missing, least, most int64) int64 {
	f := o.Float(name, float64(missing), float64(least), float64(most))
	if f != float64(int64(f)) {
		o.Fail(name, "got "+strconv.FormatFloat(f, 'g', -1, 64)+", want a whole number")
		return missing
	}
	return int64(f)
}

// Float is a number from least to most, missing when it is absent.
func (o *Object) Float(name string, missing, least, most float64) float64 {
	v, ok := o.want(name, json.Number)
	if !ok {
		return missing
	}
	f, ok := v.Float()
	if !ok || f < least || f > most {
		o.Fail(name, "got "+v.Raw+", want "+strconv.FormatFloat(least, 'g', -1, 64)+
			" to "+strconv.FormatFloat(most, 'f', -1, 64))
		return missing
	}
	return f
}

// Strings is a list of strings, nil when it is absent; an empty string in it is a fault.
func (o *Object) Strings(name string) []string {
	v, ok := o.want(name, json.Array)
	if !ok {
		return nil
	}
	out := make([]string, 0, len(v.Items))
	for i := range v.Items {
		path := o.Path(name) + "[" + strconv.Itoa(i) + "]"
		if !o.check(path, &v.Items[i], json.String) {
			continue
		}
		if v.Items[i].Text == "" {
			o.FailAt(path, "empty")
			continue
		}
		out = append(out, v.Items[i].Text)
	}
	return out
}

// Pair is a member of an object of strings.
type Pair struct{ Name, Value string }

// Pairs is the members of an object of strings, in order; nil when it is absent.
func (o *Object) Pairs(name string) []Pair {
	v, ok := o.want(name, json.Object)
	if !ok {
		return nil
	}
	out := make([]Pair, 0, len(v.Items))
	for i := range v.Items {
		if m := &v.Items[i]; o.check(o.Path(name)+"."+m.Name, m, json.String) {
			out = append(out, Pair{m.Name, m.Text})
		}
	}
	return out
}

// Object is an object, an empty one when it is absent.
func (o *Object) Object(name string) *Object {
	v, ok := o.want(name, json.Object)
	if !ok {
		v = json.Value{Kind: json.Object}
	}
	return o.root.object(o.Path(name), v)
}

// Objects is a list of objects, nil when it is absent.
func (o *Object) Objects(name string) []*Object {
	v, ok := o.want(name, json.Array)
	if !ok {
		return nil
	}
	var out []*Object
	for i := range v.Items {
		path := o.Path(name) + "[" + strconv.Itoa(i) + "]"
		if o.check(path, &v.Items[i], json.Object) {
			out = append(out, o.root.object(path, v.Items[i]))
		}
	}
	return out
}

// Each is every member that is an object, in order; a member of another kind is a fault.
func (o *Object) Each(yield func(name string, member *Object) bool) {
	for i := range o.value.Items {
		m := &o.value.Items[i]
		o.read[i] = true
		if o.check(o.Path(m.Name), m, json.Object) && !yield(m.Name, o.root.object(o.Path(m.Name), *m)) {
			return
		}
	}
}
