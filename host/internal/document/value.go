package document

import (
	"fmt"
	"iter"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wasmgate/wasmgate/host/model"
)

// Value is a value of a document, or the absence of one. Its readers report to the
// document what does not fit and return the zero value then; on an absent value they
// return the zero value without a report.
type Value struct {
	doc  *Document
	node *yaml.Node
	up   *Value
	key  string     // the last step of the path; an index starts with [
	name *yaml.Node // of the key; nil where there is none
}

// Exists tells whether the value is there.
func (v Value) Exists() bool { return v.node != nil }

// IsObject tells whether v is an object.
func (v Value) IsObject() bool { return v.node != nil && v.node.Kind == yaml.MappingNode }

// IsList tells whether v is a list.
func (v Value) IsList() bool { return v.node != nil && v.node.Kind == yaml.SequenceNode }

// IsNull tells whether v is null.
func (v Value) IsNull() bool { return v.node != nil && v.node.ShortTag() == "!!null" }

// IsText tells whether v is a text.
func (v Value) IsText() bool {
	return v.node != nil && v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!str"
}

// Position is where the value stands.
func (v Value) Position() model.Position {
	if v.node == nil {
		return model.Position{File: v.doc.File}
	}
	return model.Position{File: v.doc.File, Line: v.node.Line, Column: v.node.Column}
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_$-]+$`)

// Path is the key path, such as tls.certificates[0].cert or paths["/pets"].get.
func (v Value) Path() string {
	if v.up == nil {
		return v.key
	}
	up := v.up.Path()
	switch {
	case strings.HasPrefix(v.key, "["):
		return up + v.key
	case !plainKey.MatchString(v.key):
		return up + "[" + strconv.Quote(v.key) + "]"
	case up == "":
		return v.key
	}
	return up + "." + v.key
}

// Named is v under another path: for a value from a flag or the environment, the key
// that it sets.
func (v Value) Named(path string) Value {
	v.up, v.key = nil, path
	return v
}

// Key is the name under which v stands in its object.
func (v Value) Key() string { return v.key }

// String shows v as it is written: for messages. References stay unresolved.
func (v Value) String() string {
	switch {
	case v.node == nil:
		return "nothing"
	case v.node.Kind == yaml.MappingNode:
		return "an object"
	case v.node.Kind == yaml.SequenceNode:
		return "a list"
	case v.node.ShortTag() == "!!str":
		const most = 80
		if len(v.node.Value) > most {
			return strconv.Quote(strings.ToValidUTF8(v.node.Value[:most], "")) + "..."
		}
		return strconv.Quote(v.node.Value)
	case v.node.Value == "":
		return "null"
	}
	return v.node.Value
}

// Report adds a problem at v. A got that is empty is v as written.
func (v Value) Report(got, want string) {
	v.doc.problems = append(v.doc.problems, v.Problem(got, want))
}

// Problem is the problem that [Value.Report] would add.
func (v Value) Problem(got, want string) Problem {
	if got == "" {
		got = v.String()
	}
	if r := v.doc.resolver; r != nil && r.Redactor != nil {
		got, want = r.Redactor.Scrub(got), r.Redactor.Scrub(want)
	}
	return Problem{Position: v.Position(), Path: v.Path(), Got: got, Want: want}
}

// Field is the value of a key; absent when there is none. Of what is no object nothing is there.
func (v Value) Field(key string) Value {
	child := Value{doc: v.doc, up: &v, key: key}
	if !v.IsObject() {
		return child
	}
	content := v.node.Content
	if len(content) > 64 {
		if i, ok := v.doc.indexed(v.node)[key]; ok {
			child.name, child.node = content[i], content[i+1]
		}
		return child
	}
	for i := 0; i+1 < len(content); i += 2 {
		if content[i].Value == key {
			child.name, child.node = content[i], content[i+1]
		}
	}
	return child
}

// indexed keeps lookups in large objects from taking quadratic time.
func (d *Document) indexed(n *yaml.Node) map[string]int {
	if d.index[n] == nil {
		if d.index == nil {
			d.index = map[*yaml.Node]map[string]int{}
		}
		fields := make(map[string]int, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			fields[n.Content[i].Value] = i
		}
		d.index[n] = fields
	}
	return d.index[n]
}

// Fields is every key and value, in order. What is no object is a problem.
func (v Value) Fields() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if !v.Object() {
			return
		}
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			key := v.node.Content[i].Value
			if !yield(key, Value{v.doc, v.node.Content[i+1], &v, key, v.node.Content[i]}) {
				return
			}
		}
	}
}

// Object tells whether v is an object; anything else that is there is a problem.
func (v Value) Object() bool {
	if v.Exists() && !v.IsObject() {
		v.Report("", "an object")
	}
	return v.IsObject()
}

// Items is every item of a list, in order. What is no list is a problem.
func (v Value) Items() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if !v.Exists() {
			return
		}
		if !v.IsList() {
			v.Report("", "a list")
			return
		}
		for i, n := range v.node.Content {
			if !yield(Value{v.doc, n, &v, "[" + strconv.Itoa(i) + "]", nil}) {
				return
			}
		}
	}
}

// AtKey is v for problems of its key: positioned there.
func (v Value) AtKey() Value {
	if v.name != nil {
		v.node = v.name
	}
	return v
}

// Only reports every key that is not among known, and what is no object.
func (v Value) Only(known ...string) {
	for key, field := range v.Fields() {
		if !slices.Contains(known, key) {
			field.AtKey().Unknown(known)
		}
	}
}

// Unknown reports v's key as one that is not among known.
func (v Value) Unknown(known []string) {
	v.Report("an unknown key", Suggest(v.key, known))
}

// Require reports the keys that v has not.
func (v Value) Require(keys ...string) {
	for _, key := range keys {
		if v.IsObject() && !v.Field(key).Exists() {
			v.Report("no key "+strconv.Quote(key), "one")
		}
	}
}

// Scalar is the text of a text, number, true or false, with references resolved; ok is
// false when v is absent or anything else, which is a problem.
func (v Value) Scalar() (text string, ok bool) {
	if !v.Exists() {
		return "", false
	}
	if v.node.Kind != yaml.ScalarNode || v.IsNull() {
		v.Report("", "a text")
		return "", false
	}
	if !strings.Contains(v.node.Value, "${") {
		return v.node.Value, true
	}
	if v.doc.resolver == nil {
		if HasReference(v.node.Value) {
			v.Report("", "no ${env:...} or ${file:...} here")
			return "", false
		}
		return v.node.Value, true
	}
	text, err := v.doc.resolver.Resolve(v.node.Value, v.doc.dir)
	if err != nil {
		v.Report(err.Error(), "a reference ${env:NAME} or ${file:/path} to something that is there")
		return "", false
	}
	return text, true
}

// Text is a text with references resolved. A number, true or false is a problem, since
// YAML may have changed it (1.10 is 1.1); other readers take the text of those.
func (v Value) Text() string {
	if v.Exists() && !v.IsText() {
		v.Report("", "a text")
		return ""
	}
	text, _ := v.Scalar()
	return text
}

// Plain is the text of a scalar as it is written, and empty for anything else, without
// a report: for texts that decide nothing.
func (v Value) Plain() string {
	if v.node == nil || v.node.Kind != yaml.ScalarNode || v.IsNull() {
		return ""
	}
	return v.node.Value
}

// Match is a text that matches pattern; want says in words what that is.
func (v Value) Match(pattern *regexp.Regexp, want string) string {
	if !v.Exists() {
		return ""
	}
	text, ok := v.Scalar()
	if ok && (!v.IsText() || !pattern.MatchString(text)) {
		v.Report("", want)
		return ""
	}
	return text
}

// OneOf is a text that is among choices.
func (v Value) OneOf(choices ...string) string {
	if !v.Exists() {
		return ""
	}
	text, ok := v.Scalar()
	if ok && (!v.IsText() || !slices.Contains(choices, text)) {
		v.Report("", Choices(quoted(choices)))
		return ""
	}
	return text
}

// Elements is Items, where in an untyped document a text with commas is a list.
func (v Value) Elements() iter.Seq[Value] {
	if !v.doc.untyped || !v.IsText() {
		return v.Items()
	}
	return func(yield func(Value) bool) {
		if v.node.Value == "" {
			return
		}
		for i, part := range strings.Split(v.node.Value, ",") {
			n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.TrimSpace(part)}
			if !yield(Value{v.doc, n, &v, "[" + strconv.Itoa(i) + "]", nil}) {
				return
			}
		}
	}
}

// Texts is a list of texts; see [Value.Elements].
func (v Value) Texts() []string {
	var list []string
	for item := range v.Elements() {
		list = append(list, item.Text())
	}
	return list
}

// File is the text as a path. A relative one starts at the document's directory.
func (v Value) File() string {
	text := v.Text()
	if text == "" {
		return ""
	}
	path := text
	if !filepath.IsAbs(text) {
		path = filepath.Join(v.doc.dir, text)
	}
	if HasReference(v.node.Value) { // errors of the file system show it cleaned
		v.doc.resolver.Redactor.Add(filepath.Clean(path))
	}
	return path
}

// typed reads v, of the tag or a text with a reference, by parse.
func typed[T any](v Value, tags []string, want string, parse func(string) (T, error)) (zero T) {
	if !v.Exists() {
		return zero
	}
	loose := v.IsText() && (v.doc.untyped || HasReference(v.node.Value))
	if v.node.Kind != yaml.ScalarNode || !loose && !slices.Contains(tags, v.node.ShortTag()) {
		v.Report("", want)
		return zero
	}
	text, ok := v.Scalar()
	if !ok {
		return zero
	}
	t, err := parse(text)
	if err != nil {
		v.Report("", want)
		return zero
	}
	return t
}

// Bool is true or false.
func (v Value) Bool() bool {
	return typed(v, []string{"!!bool"}, "true or false", func(text string) (bool, error) {
		if text != "true" && text != "false" {
			return false, strconv.ErrSyntax // yes and on are words to some readers
		}
		return text == "true", nil
	})
}

// Int is a whole number from low to high.
func (v Value) Int(low, high int64) int64 {
	want := fmt.Sprintf("a whole number from %d to %d", low, high)
	return typed(v, []string{"!!int"}, want, func(text string) (int64, error) {
		n, err := strconv.ParseInt(text, 10, 64)
		return n, between(n, low, high, err)
	})
}

// Float is a number from low to high.
func (v Value) Float(low, high float64) float64 {
	want := fmt.Sprintf("a number from %v to %v", low, high)
	return typed(v, []string{"!!int", "!!float"}, want, func(text string) (float64, error) {
		n, err := strconv.ParseFloat(text, 64)
		return n, between(n, low, high, err)
	})
}

// Size is a number of bytes from low to high, as [Size] reads it.
func (v Value) Size(low, high int64) int64 {
	want := fmt.Sprintf("a size such as 64KiB or 10MiB, from %d to %d bytes", low, high)
	return typed(v, []string{"!!int", "!!str"}, want, func(text string) (int64, error) {
		n, err := Size(text)
		return n, between(n, low, high, err)
	})
}

var duration = regexp.MustCompile(DurationPattern)

// Duration is a time span such as 500ms or 1m30s, from low to high.
func (v Value) Duration(low, high time.Duration) time.Duration {
	want := fmt.Sprintf("a duration such as 500ms, 10s or 5m, from %v to %v", low, high)
	return typed(v, []string{"!!str"}, want, func(text string) (time.Duration, error) {
		if !duration.MatchString(text) {
			return 0, strconv.ErrSyntax
		}
		d, err := time.ParseDuration(text)
		return d, between(d, low, high, err)
	})
}

func between[T int64 | float64 | time.Duration](n, low, high T, err error) error {
	if err == nil && !(n >= low && n <= high) { // so NaN is out, too
		err = strconv.ErrRange
	}
	return err
}
