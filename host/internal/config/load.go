package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/viper"

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/model"
)

// Prefix starts the environment variables of the process configuration: listen.https is
// WASMGATE_LISTEN__HTTPS.
const Prefix = "WASMGATE_"

const maxFile = 1 << 20

// Options say where the configuration comes from. Flags win over the environment, the
// environment over the file, the file over the defaults; a list or map is replaced whole.
type Options struct {
	// File is wasmgate.yaml; empty is none.
	File string
	// Set is the flags: values by key, such as listen.https; see [Set].
	Set map[string]string
	// Environ is NAME=value pairs; nil is [os.Environ].
	Environ []string

	redactor *document.Redactor // of the configuration before; nil is a new one
}

// Set reads key=value pairs, as --set takes them, for [Options].
func Set(pairs []string) (map[string]string, error) {
	values := map[string]string{}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("read --set: got %q, want key=value", pair)
		}
		values[key] = value
	}
	return values, nil
}

// Load reads the configuration. What is wrong in it is a [document.Errors]; other errors
// are of the file system.
func Load(o Options) (*Config, error) {
	c, l := open(o)
	if o.File != "" {
		if err := l.file(o.File); err != nil {
			return nil, err
		}
		c.Digest = l.documents[0].Digest
	}
	l.variables()
	l.flags(o.Set)
	l.read(c, l.table)
	l.check(c)
	if err := l.all().Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// LoadAdmin reads listen.admin and data_dir alone, which is what it takes to talk to a
// running gateway; the rest of the Config is empty. What is wrong elsewhere in the file or
// the environment does not matter. A file that cannot be parsed counts as none, and ignored
// says why.
func LoadAdmin(o Options) (c *Config, ignored, err error) {
	c, l := open(o)
	if o.File != "" {
		ignored = l.file(o.File)
	}
	l.variables()
	l.flags(o.Set)
	keys := []string{"listen.admin", "data_dir"}
	l.read(c, []entry{*l.entry(keys[0]), *l.entry(keys[1])})
	var problems document.Errors
	for _, p := range l.all() {
		flag := strings.HasPrefix(p.File, flagSource) // a typing error in this very command
		if flag || slices.ContainsFunc(keys, func(key string) bool { return p.Path == key || p.File == Variable(key) }) {
			problems = append(problems, p)
		}
	}
	if err := problems.Err(); err != nil {
		return nil, ignored, err
	}
	return c, ignored, nil
}

// open makes a loader and the configuration that it fills.
func open(o Options) (*Config, *loader) {
	if o.redactor == nil {
		o.redactor = new(document.Redactor)
	}
	c := &Config{File: o.File, options: o, values: map[string]document.Value{}}
	l := &loader{table: c.table(), layers: viper.New(), environ: map[string]string{}}
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		l.environ[name] = value
	}
	c.Resolver = &document.Resolver{Redactor: o.redactor, LookupEnv: func(name string) (string, bool) {
		value, ok := l.environ[name]
		return value, ok
	}}
	l.options.Resolver = c.Resolver
	return c, l
}

type loader struct {
	table     []entry
	layers    *viper.Viper // by key, the document.Value that wins
	environ   map[string]string
	options   document.Options
	documents []*document.Document
	problems  document.Errors
}

// all is the problems of the loader and of what it read.
func (l *loader) all() document.Errors {
	all := l.problems
	for _, d := range l.documents {
		if e, ok := d.Err().(document.Errors); ok {
			all = append(all, e...)
		}
	}
	return all
}

// file puts the values of the process file into the layers.
func (l *loader) file(name string) error {
	o := l.options
	o.MaxBytes = maxFile
	d, err := document.Read(name, o)
	if err != nil {
		return err
	}
	l.documents = append(l.documents, d)
	if values := l.section(d.Root(), ""); values != nil {
		return l.layers.MergeConfigMap(values)
	}
	return nil
}

// section is the values of a part of the file; prefix is its key with a dot at its end.
// A part without a value, since all in it is commented out, is empty.
func (l *loader) section(v document.Value, prefix string) map[string]any {
	if v.IsNull() || !v.Object() {
		if v.Exists() && !v.IsNull() && !v.IsObject() {
			return nil
		}
		return map[string]any{}
	}
	values := map[string]any{}
	known := l.known(prefix)
	v.Only(known...)
	for key, field := range v.Fields() {
		switch full := prefix + key; {
		case !slices.Contains(known, key):
		case l.entry(full) != nil:
			values[key] = field
		default:
			values[key] = l.section(field, full+".")
		}
	}
	return values
}

// known is the keys of a section, each once.
func (l *loader) known(prefix string) []string {
	var keys []string
	for _, e := range l.table {
		if rest, ok := strings.CutPrefix(e.key, prefix); ok {
			key, _, _ := strings.Cut(rest, ".")
			keys = append(keys, key)
		}
	}
	return slices.Compact(keys)
}

func (l *loader) entry(key string) *entry {
	for i := range l.table {
		if l.table[i].key == key {
			return &l.table[i]
		}
	}
	return nil
}

// Variable is the environment variable of a key.
func Variable(key string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
}

// flagSource starts the source of a flag's value.
const flagSource = "--set "

// variables puts the environment over the file. Variables without __ that are no key and
// no section are left alone: Kubernetes makes such as WASMGATE_PORT for a service named
// wasmgate.
func (l *loader) variables() {
	var known []string
	sections := map[string][]string{} // the variables of the keys in each
	for _, e := range l.table {
		name := Variable(e.key)
		known = append(known, name)
		if section, _, ok := strings.Cut(e.key, "."); ok {
			sections[Variable(section)] = append(sections[Variable(section)], name)
		}
		if text, ok := l.environ[name]; ok {
			l.override(e.key, name, text)
		}
	}
	for name := range l.environ {
		switch {
		case !strings.HasPrefix(name, Prefix) || slices.Contains(known, name):
		case sections[name] != nil:
			l.problem(name, "a variable for a section", document.Choices(sections[name]))
		case strings.Contains(name[len(Prefix):], "__"):
			l.problem(name, "an unknown variable", document.Suggest(name, known))
		}
	}
}

// flags puts the flags over everything.
func (l *loader) flags(set map[string]string) {
	var known []string
	for _, e := range l.table {
		known = append(known, e.key)
	}
	for key, text := range set {
		if l.entry(key) == nil {
			l.problem(flagSource+key, "an unknown key", document.Suggest(key, known))
			continue
		}
		l.override(key, flagSource+key, text)
	}
}

func (l *loader) problem(source, got, want string) {
	l.problems = append(l.problems, document.Problem{Position: model.Position{File: source}, Got: got, Want: want})
}

// override sets a key to a text from source.
func (l *loader) override(key, source, text string) {
	d, err := document.Untyped(source, text, l.options)
	if e, ok := err.(document.Errors); ok {
		l.problems = append(l.problems, e...)
		return
	}
	l.documents = append(l.documents, d)
	l.layers.Set(key, d.Root().Named(key))
}

// read gives each entry its value. A relative default starts where the file is.
func (l *loader) read(c *Config, entries []entry) {
	o := l.options
	if c.File != "" {
		o.Dir = filepath.Dir(c.File)
	}
	for _, e := range entries {
		v, ok := l.layers.Get(e.key).(document.Value)
		if !ok {
			d, err := document.Untyped(c.File, e.initial, o)
			if err != nil {
				panic(err) // the table is wrong; a test reads every default
			}
			l.documents = append(l.documents, d)
			v = d.Root().Named(e.key)
		}
		c.values[e.key] = v
		e.read(v)
	}
}
