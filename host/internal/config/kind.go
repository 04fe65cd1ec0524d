package config

import (
	"encoding/json"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/document"
)

// object is a JSON Schema.
type object = map[string]any

// kind is how a value is read and what its JSON Schema is. A read reports to the value's
// document what does not fit.
type kind[T any] struct {
	read   func(document.Value) T
	schema object
	// literal turns the table's default into the schema's; nil keeps the text.
	literal func(string) any
}

// plain is the literal of what JSON writes as the table does.
func plain(text string) any { return json.RawMessage(text) }

// reference is what every text may be instead.
var reference = object{"type": "string", "pattern": `\$\{(env|file):[^}]*\}`}

// orReference lets a value that is no text, or a text with a form, be a reference.
func orReference(schema object) object { return object{"anyOf": []any{schema, reference}} }

// matched is a text of a form; want says it in words. check may be nil.
func matched(pattern, want string, check func(string) bool) kind[string] {
	re := regexp.MustCompile(pattern)
	return kind[string]{
		schema: orReference(object{"type": "string", "pattern": pattern}),
		read: func(v document.Value) string {
			text, ok := v.Scalar()
			if !ok {
				return ""
			}
			if !v.IsText() || !re.MatchString(text) || check != nil && !check(text) {
				v.Report("", want)
				return ""
			}
			return text
		},
	}
}

// Forms of text.
var (
	filled  = matched(`^[^\x00-\x1f]+$`, "a text", nil)
	path    = located(matched(`^[^\x00-\x1f]+$`, "a path", nil))
	maybe   = located(matched(`^[^\x00-\x1f]*$`, "a path", nil))
	address = matched(`^(.*):[0-9]{1,5}$`, `an address "host:port"`, isAddress)
	email   = matched(`^([^@\s]+@[^@\s]+)?$`, "an e-mail address", nil)
	link    = matched(`^https://[^\s]+$`, "an https URL", func(s string) bool {
		u, err := url.Parse(s)
		return err == nil && u.Host != "" && u.User == nil
	})
	domain  = matched(`^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`, "a domain name", nil)
	target  = matched(`^[A-Za-z0-9.:/_*\[\]-]+$`, "a host, host:port, address or CIDR", nil)
	network = matched(`^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$`, "an address or CIDR", func(s string) bool {
		_, err := netip.ParsePrefix(s)
		_, err2 := netip.ParseAddr(s)
		return err == nil || err2 == nil
	})
	token = matched("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "a header name", nil)
)

// located is a path, taken from the directory of the file that it stands in.
func located(k kind[string]) kind[string] {
	check := k.read
	k.read = func(v document.Value) string {
		if check(v) == "" {
			return ""
		}
		return v.File()
	}
	return k
}

func isAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false
	}
	if strings.Contains(host, ":") {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return !strings.ContainsAny(host, " \t/@\\")
}

// optional lets a text be empty, too.
func optional(k kind[string]) kind[string] {
	return kind[string]{
		schema: object{"anyOf": []any{object{"const": ""}, k.schema}},
		read: func(v document.Value) string {
			if v.IsText() && v.String() == `""` {
				return ""
			}
			return k.read(v)
		},
	}
}

func choice(choices ...string) kind[string] {
	return kind[string]{
		schema: orReference(object{"enum": choices}),
		read:   func(v document.Value) string { return v.OneOf(choices...) },
	}
}

var boolean = kind[bool]{document.Value.Bool, orReference(object{"type": "boolean"}), plain}

func integer[T int | uint64](low, high int64) kind[T] {
	return kind[T]{
		literal: plain,
		schema:  orReference(object{"type": "integer", "minimum": low, "maximum": high}),
		read:    func(v document.Value) T { return T(v.Int(low, high)) },
	}
}

func share(high float64) kind[float64] {
	return kind[float64]{
		literal: plain,
		schema:  orReference(object{"type": "number", "minimum": 0, "maximum": high}),
		read:    func(v document.Value) float64 { return v.Float(0, high) },
	}
}

// size's schema leaves the bounds of a text with a unit to the reader.
func size(low, high int64) kind[int64] {
	return kind[int64]{
		schema: orReference(object{"anyOf": []any{
			object{"type": "integer", "minimum": low, "maximum": high},
			object{"type": "string", "pattern": document.SizePattern}}}),
		read: func(v document.Value) int64 { return v.Size(low, high) },
	}
}

// span's schema leaves the bounds to the reader.
func span(low, high time.Duration) kind[time.Duration] {
	return kind[time.Duration]{
		schema: orReference(object{"type": "string", "pattern": document.DurationPattern}),
		read:   func(v document.Value) time.Duration { return v.Duration(low, high) },
	}
}

// list is a list of texts; from the environment or a flag, texts with commas between.
func list(item kind[string], lower bool) kind[[]string] {
	return kind[[]string]{
		schema: object{"type": "array", "items": item.schema},
		literal: func(text string) any {
			return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
		},
		read: func(v document.Value) []string {
			var texts []string
			for each := range v.Elements() {
				text := item.read(each)
				if lower {
					text = strings.ToLower(text)
				}
				texts = append(texts, text)
			}
			return texts
		},
	}
}

var certificates = kind[[]Certificate]{
	literal: plain,
	schema: object{"type": "array", "items": object{"type": "object", "additionalProperties": false,
		"required":   []string{"cert", "key"},
		"properties": object{"cert": path.schema, "key": path.schema}}},
	read: func(v document.Value) []Certificate {
		var pairs []Certificate
		for pair := range v.Items() {
			pair.Only("cert", "key")
			pair.Require("cert", "key")
			pairs = append(pairs, Certificate{path.read(pair.Field("cert")), path.read(pair.Field("key"))})
		}
		return pairs
	},
}

// secrets takes literal values, too, for tests and laptops; the schema asks for no more.
var secrets = kind[map[string]Secret]{
	literal: plain,
	schema: object{"type": "object", "additionalProperties": object{"type": "string"},
		"propertyNames": object{"pattern": secretName.String()}},
	read: func(v document.Value) map[string]Secret {
		values := map[string]Secret{}
		for name, value := range v.Fields() {
			if !secretName.MatchString(name) {
				value.Report("the name "+strconv.Quote(name), "letters, digits, . _ and -")
			}
			if !value.IsText() { // the value is not shown
				value.Report("no text", "a text, best a reference ${env:NAME} or ${file:/path}")
				continue
			}
			values[name] = Secret{value.Text()}
		}
		return values
	},
}

var secretName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
