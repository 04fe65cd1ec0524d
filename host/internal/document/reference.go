package document

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// maxReferenced is the longest file that a reference takes in.
const maxReferenced = 1 << 20

// Resolver gives the values of ${env:NAME} and ${file:/path} references. $${ stands for
// a plain ${; every other ${...} with a lower-case word and a colon is an error.
// It is safe for concurrent use.
type Resolver struct {
	// LookupEnv looks an environment variable up; nil is [os.LookupEnv].
	LookupEnv func(name string) (string, bool)
	// Redactor learns every value that was resolved; required.
	Redactor *Redactor
}

// Resolve replaces the references in text. A relative path is taken from dir. An error
// names the reference, never a value.
func (r *Resolver) Resolve(text, dir string) (string, error) {
	var out strings.Builder
	for {
		start := strings.Index(text, "${")
		if start < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		scheme := text[start+2:]
		scheme = scheme[:len(scheme)-len(strings.TrimLeft(scheme, "abcdefghijklmnopqrstuvwxyz"))]
		after := start + 2 + len(scheme)
		if scheme == "" || !strings.HasPrefix(text[after:], ":") {
			out.WriteString(text[:after])
			text = text[after:]
			continue
		}
		length := strings.IndexByte(text[start:], '}') + 1
		if length == 0 {
			return "", fmt.Errorf("the reference %q without a closing brace", text[start:])
		}
		whole, name := text[start:start+length], text[after+1:start+length-1]
		if start > 0 && text[start-1] == '$' {
			out.WriteString(text[:start-1] + whole)
		} else {
			value, err := r.value(scheme, name, whole, dir)
			if err != nil {
				return "", err
			}
			r.Redactor.Add(value)
			out.WriteString(text[:start] + value)
		}
		text = text[start+length:]
	}
}

func (r *Resolver) value(scheme, name, whole, dir string) (string, error) {
	switch scheme {
	case "env":
		lookup := r.LookupEnv
		if lookup == nil {
			lookup = os.LookupEnv
		}
		if value, ok := lookup(name); ok {
			return value, nil
		}
		return "", fmt.Errorf("%s, and the environment has no %q", whole, name)
	case "file":
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", whole, err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxReferenced+1))
		if err != nil {
			return "", fmt.Errorf("%s: %w", whole, err)
		}
		if len(data) > maxReferenced {
			return "", fmt.Errorf("%s, a file of more than %d bytes", whole, maxReferenced)
		}
		// Editors and echo end a file with a newline that is no part of the secret.
		return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
	}
	return "", fmt.Errorf("%s, an unknown kind of reference", whole)
}

// HasReference tells whether text holds something that [Resolver.Resolve] replaces.
func HasReference(text string) bool {
	return strings.Contains(text, "${env:") || strings.Contains(text, "${file:")
}

// Redactor takes referenced values out of texts. The zero value knows none.
// It is safe for concurrent use.
type Redactor struct {
	mu       sync.Mutex
	values   []string
	replacer *strings.Replacer
}

// Redacted stands where a value was.
const Redacted = "[redacted]"

// minRedacted is the shortest value that Scrub looks for: shorter ones, such as true or
// info, stand by chance in any text.
const minRedacted = 8

// Add makes Scrub take value out, also where it is escaped as in JSON.
func (r *Redactor) Add(value string) {
	if len(value) < minRedacted {
		return
	}
	quoted, _ := json.Marshal(value) // a string always marshals
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range []string{value, string(quoted[1 : len(quoted)-1])} {
		if !slices.Contains(r.values, v) {
			r.values, r.replacer = append(r.values, v), nil
		}
	}
}

// Scrub is text with [Redacted] in the place of every known value.
func (r *Redactor) Scrub(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.values) == 0 {
		return text
	}
	if r.replacer == nil {
		// Longest first, so that a value that contains another leaves no rest behind.
		slices.SortFunc(r.values, func(a, b string) int { return len(b) - len(a) })
		pairs := make([]string, 0, 2*len(r.values))
		for _, v := range r.values {
			pairs = append(pairs, v, Redacted)
		}
		r.replacer = strings.NewReplacer(pairs...)
	}
	return r.replacer.Replace(text)
}
