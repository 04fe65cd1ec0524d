package observe

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// secretWords make a key of the operator's log a secret wherever they stand in it.
var secretWords = [...]string{
	"authorization", "cookie", "password", "passwd", "secret", "token", "api_key", "apikey", "api-key",
	"private_key", "credential", "signature",
}

// NewLogger is the operator's log, on w. level is debug, info, warn or error; format is
// json or text. Values under keys that name a credential are redacted, in groups too: a
// call that logs too much must not become a leak. Scrub, unless it is nil, takes secrets
// out of every text.
func NewLogger(w io.Writer, level, format string, scrub func(string) string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("make log: level %q, want debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		a = redactAttr(groups, a)
		if kind := a.Value.Kind(); scrub != nil && (kind == slog.KindString || kind == slog.KindAny) {
			if text := a.Value.String(); scrub(text) != text {
				return slog.String(a.Key, scrub(text))
			}
		}
		return a
	}}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	}
	return nil, fmt.Errorf("make log: format %q, want json or text", format)
}

func redactAttr(groups []string, a slog.Attr) slog.Attr {
	if slices.ContainsFunc(groups, isSecret) || isSecret(a.Key) ||
		a.Value.Kind() == slog.KindString && isJWT(strings.TrimPrefix(a.Value.String(), "Bearer ")) {
		return slog.String(a.Key, redacted)
	}
	return a
}

func isSecret(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc(secretWords[:], func(word string) bool { return strings.Contains(key, word) })
}
