package document

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/wasmgate/wasmgate/host/model"
)

// Options say how a document is read.
type Options struct {
	// Resolver resolves references; with nil a reference is a problem.
	Resolver *Resolver
	// MaxBytes is the longest document; 0 is 16 MiB (Amazon's limit is 6 MB).
	MaxBytes int
	// Dir is where relative paths start; empty is the directory of the file, and for
	// [Untyped] the working directory.
	Dir string
}

// Document is one parsed document. It collects the problems that its readers find, so it
// belongs to one goroutine.
type Document struct {
	// File is the name under which problems speak of the document.
	File string
	// Digest is the SHA-256 of its bytes, references as they stand there.
	Digest [sha256.Size]byte

	root     *yaml.Node
	dir      string
	resolver *Resolver
	problems Errors
	untyped  bool                          // a text from the environment or a flag: its tags mean nothing
	index    map[*yaml.Node]map[string]int // of large objects: where keys stand
}

// What Parse bounds.
const (
	maxBytes     = 16 << 20
	maxDepth     = 100
	maxExpansion = 10 // how many times larger aliases may make a document
)

// Read reads and parses a file; see [Parse]. Errors of the file system are no [Errors].
func Read(file string, o Options) (*Document, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(o.limit())+1))
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	return Parse(file, data, o)
}

func (o Options) limit() int { return cmp.Or(o.MaxBytes, maxBytes) }

// Parse reads data, which is JSON when it starts with a brace or bracket and file ends in
// .json, else YAML. The error is an [Errors]; then there is no document. Problems that let
// reading go on, such as a key that stands twice, are with the readers' in [Document.Err].
func Parse(file string, data []byte, o Options) (*Document, error) {
	d := &Document{File: file, Digest: sha256.Sum256(data), dir: o.Dir, resolver: o.Resolver}
	if d.dir == "" {
		d.dir = filepath.Dir(file)
	}
	whole := func(got, want string) (*Document, error) {
		return nil, Errors{{Position: model.Position{File: file}, Got: got, Want: want}}
	}
	if limit := o.limit(); len(data) > limit {
		return whole(fmt.Sprintf("more than %d bytes", limit), "a smaller document")
	}
	if !utf8.Valid(data) {
		return whole("bytes that are no UTF-8", "UTF-8")
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var err error
	if strings.EqualFold(filepath.Ext(file), ".json") {
		d.root, err = parseJSON(file, data)
	} else {
		d.root, err = parseYAML(file, data)
	}
	if err != nil {
		return nil, err
	}
	if d.root == nil { // nothing, or comments only
		d.root = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}
	}
	if !d.expand() {
		return nil, d.Err()
	}
	return d, nil
}

// Untyped is a document of one value that no file holds: from an environment variable or
// a flag. A text that starts with [ or { is read as YAML, any other is taken as it is;
// whether it is a number or a text is the reader's choice.
func Untyped(source, text string, o Options) (*Document, error) {
	d := &Document{File: source, dir: o.Dir, resolver: o.Resolver, untyped: true,
		root: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}}
	if !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "{") {
		return d, nil
	}
	flow, err := Parse(source, []byte(text), o)
	if err != nil {
		return nil, err
	}
	d.root, d.problems = flow.root, flow.problems
	return d, nil
}

// Root is the document's value.
func (d *Document) Root() Value { return Value{doc: d, node: d.root} }

// Count is the number of problems found so far, repeats included: what grows while a value
// is read is wrong in it.
func (d *Document) Count() int { return len(d.problems) }

// Err is an [Errors] of all problems found so far, nil when there are none.
func (d *Document) Err() error { return d.problems.Err() }

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

func parseYAML(file string, data []byte) (*yaml.Node, error) {
	syntax := func(err error) error {
		at, text := model.Position{File: file}, strings.TrimPrefix(err.Error(), "yaml: ")
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			at.Line, _ = strconv.Atoi(m[1])
			at.Column, text = 1, strings.TrimPrefix(err.Error(), m[0])
		}
		return Errors{{Position: at, Got: "a syntax error (" + text + ")", Want: "YAML"}}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var n, second yaml.Node
	if err := decoder.Decode(&n); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntax(err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, Errors{{Position: model.Position{File: file, Line: second.Line, Column: second.Column},
			Got: "a second document", Want: "one document in a file"}}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntax(err)
	}
	if len(n.Content) == 0 {
		return nil, nil
	}
	return n.Content[0], nil
}
