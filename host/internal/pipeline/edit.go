package pipeline

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// check refuses an edit that no request could make good: a wrong place or name, or a
// literal that may not stand there.
func (e *edit) check(hook abi.Hook) error {
	response := hook == abi.HookMapResponse
	switch e.op {
	case abi.OpSetHeader, abi.OpAddHeader, abi.OpRemoveHeader:
		literal, _ := e.value.constant()
		return checkHeader(e.name, literal)
	case abi.OpSetBody:
		return nil
	case abi.OpSetContext:
		if e.name == "" {
			return fmt.Errorf("result: edit %s without a name", e.op)
		}
		return nil
	case abi.OpSetStatus:
		if !response {
			return fmt.Errorf("result: edit %s in %s, want it in map_response", e.op, hook)
		}
		return nil
	case abi.OpSetPath, abi.OpSetMethod, abi.OpSetAuthority:
		if hook != abi.HookMapRequest {
			return fmt.Errorf("result: edit %s in %s, want it in map_request", e.op, hook)
		}
		return nil
	}
	if response {
		return fmt.Errorf("result: edit %s in map_response, want it in map_request or integrate", e.op)
	}
	return nil
}

// checkHeader refuses names and values that would change the framing or the route of a
// message, or split it (RFC 9110 5.1, 5.5; RFC 9112 11.1).
func checkHeader(name, value string) error {
	if name == "" || strings.ContainsFunc(name, notLowerToken) {
		return fmt.Errorf("result: header %q, want a lower-case field name", name)
	}
	switch name {
	case "connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade", "http2-settings":
		return fmt.Errorf("result: header %q belongs to the gateway", name)
	}
	if !validFieldValue(value) {
		return fmt.Errorf("result: header %q: value %q, want no control characters and no blank at its ends", name, value)
	}
	return nil
}

func notLowerToken(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return false
	}
	return c > 0x7e || !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}

func validFieldValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return v == strings.Trim(v, " \t")
}

// applyRequest applies the edits of map_request or integrate; h is the header they change.
func (r *request) applyRequest(edits []edit, h *exchange.Header) error {
	for i := range edits {
		if err := r.applyOne(&edits[i], h); err != nil {
			return err
		}
	}
	return nil
}

// applyOne applies one edit to the request. A value that came from the client and may
// not stand where the edit puts it refuses the request: the plugin is not to blame.
func (r *request) applyOne(e *edit, h *exchange.Header) error {
	v := r.string(e.value)
	switch e.op {
	case abi.OpSetHeader, abi.OpAddHeader:
		if !validFieldValue(v) {
			return badValue(e, v)
		}
		if e.op == abi.OpSetHeader {
			h.Set(e.name, v)
		} else {
			h.Add(e.name, v)
		}
	case abi.OpRemoveHeader:
		h.Del(e.name)
	case abi.OpSetQuery, abi.OpAddQuery, abi.OpRemoveQuery:
		r.query = editQuery(r.query, e.op, e.name, v)
	case abi.OpSetRawQuery:
		if strings.ContainsFunc(v, notQuery) {
			return badValue(e, v)
		}
		r.query = v
	case abi.OpSetPath:
		if !strings.HasPrefix(v, "/") || strings.ContainsFunc(v, notPath) {
			return badValue(e, v)
		}
		r.path = v
	case abi.OpSetMethod:
		if v == "" || strings.ContainsFunc(v, func(c rune) bool { return notLowerToken(c) && (c < 'A' || c > 'Z') }) {
			return badValue(e, v)
		}
		r.method = v
	case abi.OpSetAuthority:
		if v == "" || strings.ContainsFunc(v, notAuthority) {
			return badValue(e, v)
		}
		r.authority = v
	case abi.OpSetContext:
		r.context = append(r.context, pair{e.name, v})
	case abi.OpSetBody:
		r.x.SetBody([]byte(v))
	}
	return nil
}

// applyResponse applies the edits of map_response.
func (r *request) applyResponse(edits []edit) error {
	resp := &r.x.Response
	for i := range edits {
		e := &edits[i]
		v := r.string(e.value)
		switch e.op {
		case abi.OpSetHeader, abi.OpAddHeader:
			if !validFieldValue(v) {
				return badValue(e, v)
			}
			if e.op == abi.OpSetHeader {
				resp.Header.Set(e.name, v)
			} else {
				resp.Header.Add(e.name, v)
			}
		case abi.OpRemoveHeader:
			resp.Header.Del(e.name)
		case abi.OpSetStatus:
			status, err := strconv.Atoi(v)
			if err != nil || status < 200 || status > 599 {
				return fmt.Errorf("result: edit set_status: got %q, want 200 to 599", v)
			}
			resp.Status = status
		case abi.OpSetContext:
			r.context = append(r.context, pair{e.name, v})
		case abi.OpSetBody:
			// The validators and coding of the old body do not describe the new one (RFC 9110 8.8, 8.4).
			for _, name := range [...]string{"etag", "last-modified", "content-encoding", "content-md5", "accept-ranges", "content-range", "digest", "repr-digest", "content-digest"} {
				resp.Header.Del(name)
			}
			resp.SetBody([]byte(v))
		}
	}
	return nil
}

func badValue(e *edit, v string) error {
	return problem.New(problem.BadRequest, fmt.Errorf("edit %s %q: value %q may not stand there", e.op, e.name, v))
}

func notQuery(c rune) bool     { return c <= ' ' || c == '#' || c >= 0x7f }
func notPath(c rune) bool      { return notQuery(c) || c == '?' }
func notAuthority(c rune) bool { return notQuery(c) || strings.ContainsRune(`/?@\,`, c) }

// editQuery changes one parameter of a raw query and leaves the rest byte for byte.
func editQuery(query string, op abi.Op, name, v string) string {
	var pieces []string
	if query != "" {
		pieces = strings.Split(query, "&")
	}
	if op != abi.OpAddQuery {
		pieces = slices.DeleteFunc(pieces, func(piece string) bool {
			k, _, _ := strings.Cut(piece, "=")
			return unescape(k) == name
		})
	}
	if op != abi.OpRemoveQuery {
		pieces = append(pieces, url.QueryEscape(name)+"="+url.QueryEscape(v))
	}
	return strings.Join(pieces, "&")
}
