package mapping

import (
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
)

// Choice is what is done with a request's body.
type Choice uint8

// The choices.
const (
	Mapped      Choice = iota // by the template
	PassThrough               // the body as it came
	Unsupported               // 415
)

// Pick chooses a request template by the content type alone, application/json when there
// is none, then $default, then by passthrough behaviour: WHEN_NO_MATCH, WHEN_NO_TEMPLATES
// or NEVER, in any case; empty is the first.
func Pick(templates []config.Pair, contentType, passthrough string) (text string, c Choice) {
	if text, ok := find(templates, mime(contentType)); ok {
		return text, Mapped
	}
	if text, ok := find(templates, "$default"); ok {
		return text, Mapped
	}
	switch strings.ToLower(passthrough) {
	case "never":
		return "", Unsupported
	case "when_no_templates":
		if len(templates) > 0 {
			return "", Unsupported
		}
	}
	return "", PassThrough
}

// PickResponse chooses a response template by the first type that the client accepts, then
// application/json, then the first there is. contentType is its type, application/json
// when there is no template at all.
func PickResponse(templates []config.Pair, accept string) (text, contentType string, found bool) {
	first, _, _ := strings.Cut(accept, ",")
	for _, want := range [...]string{mime(first), defaultType} {
		if text, ok := find(templates, want); ok {
			return text, want, true
		}
	}
	if len(templates) > 0 {
		return templates[0].Value, strings.ToLower(templates[0].Name), true
	}
	return "", defaultType, false
}

const defaultType = "application/json"

func mime(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	if kind = strings.ToLower(strings.Trim(kind, " \t")); kind != "" {
		return kind
	}
	return defaultType
}

func find(templates []config.Pair, mime string) (string, bool) {
	for _, t := range templates {
		if strings.ToLower(t.Name) == mime {
			return t.Value, true
		}
	}
	return "", false
}

// IsBody tells whether a template is the body itself.
func IsBody(text string) bool {
	switch strings.TrimSpace(text) {
	case "$input.body", "$input.json('$')", `$input.json("$")`:
		return true
	}
	return false
}

// IsVelocity tells whether a template has a reference or directive of Velocity's, so that
// it is not the text it looks like.
func IsVelocity(text string) bool {
	for i := 0; i+1 < len(text); i++ {
		next := text[i+1]
		switch {
		case text[i] == '$' && (next == '!' || next == '{' || isLetter(next)),
			text[i] == '#' && (next == '#' || next == '*' || next == '[' || next == '{' || next == '@' || isLetter(next)):
			return true
		}
	}
	return false
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
