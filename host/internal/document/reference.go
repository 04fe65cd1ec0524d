package document

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	added    []string
	values   []string // of added, with their escaped forms
	short    []string // looked for where they stand alone
	replacer *strings.Replacer
}

// Redacted stands where a value was.
const Redacted = "[redacted]"

// minRedacted is the shortest value that Scrub looks for everywhere: shorter ones, such as
// info, stand by chance in any text. Those of minAlone are taken out where a path, a name
// or a quoted text begins and ends with them.
const (
	minRedacted = 8
	minAlone    = 3
)

// Add makes Scrub take value out, also where it is escaped as in JSON or Go. Values
// shorter than 3 bytes, true and false are no secrets.
func (r *Redactor) Add(value string) {
	if len(value) < minAlone || value == "true" || value == "false" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(value) < minRedacted {
		if !slices.Contains(r.short, value) {
			r.short = append(r.short, value)
		}
		return
	}
	if !slices.Contains(r.added, value) {
		r.added = append(r.added, value)
	}
	encoded, _ := json.Marshal(value) // a string always marshals
	for _, v := range []string{value, unquoted(string(encoded)), unquoted(strconv.Quote(value))} {
		if !slices.Contains(r.values, v) {
			r.values, r.replacer = append(r.values, v), nil
		}
	}
}

// Values are the known values, as they were added.
func (r *Redactor) Values() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.added, r.short)
}

// Scrub is text with [Redacted] in the place of every known value.
func (r *Redactor) Scrub(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.values) > 0 && r.replacer == nil {
		// Longest first, so that a value that contains another leaves no rest behind.
		slices.SortFunc(r.values, func(a, b string) int { return len(b) - len(a) })
		pairs := make([]string, 0, 2*len(r.values))
		for _, v := range r.values {
			pairs = append(pairs, v, Redacted)
		}
		r.replacer = strings.NewReplacer(pairs...)
	}
	if r.replacer != nil {
		text = r.replacer.Replace(text)
	}
	for _, v := range r.short {
		text = scrubAlone(text, v)
	}
	return text
}

func unquoted(text string) string { return text[1 : len(text)-1] }

// scrubAlone takes value out where it stands alone.
func scrubAlone(text, value string) string {
	for from := 0; ; {
		i := strings.Index(text[from:], value)
		if i < 0 {
			return text
		}
		start, end := from+i, from+i+len(value)
		from = start + 1
		if (start == 0 || strings.IndexByte(" \n\"'`/=(", text[start-1]) >= 0) &&
			(end == len(text) || strings.IndexByte("\n\\\"'`:,;/)", text[end]) >= 0) {
			text = text[:start] + Redacted + text[end:]
			from = start + len(Redacted)
		}
	}
}
