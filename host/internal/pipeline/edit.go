package pipeline

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1"
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

// evaluate makes the values of edits, before any is applied: all or none, and no edit
// reads what another wrote.
func (r *request) evaluate(edits []edit) error {
	r.values = r.values[:0]
	for i := range edits {
		e := &edits[i]
		v := evaluated{present: true}
		if text, ok := e.value.constant(); ok {
			v.text = text
		} else {
			v.text, v.present = r.selectedValue(e.value)
		}
		if err := e.checkValue(v.text); err != nil {
			return err
		}
		r.values = append(r.values, v)
	}
	return nil
}

// evaluated is the value of an edit for this request. It is absent when it is made of
// selectors alone and none of them selects anything.
type evaluated struct {
	text    string
	present bool
}

func (r *request) selectedValue(v value) (s string, present bool) {
	from := len(r.kept)
	for i := range v {
		if v[i].kind == 0 {
			r.kept, present = append(r.kept, v[i].literal...), true
			continue
		}
		var found bool
		r.kept, found = r.selected(r.kept, v[i].selector)
		present = present || found
	}
	return text(r.kept[from:len(r.kept):len(r.kept)]), present
}

// checkValue refuses a value that may not stand where the edit puts it. When it came from
// the client, that refuses the request: the plugin is not to blame.
func (e *edit) checkValue(v string) error {
	ok := true
	switch e.op {
	case abi.OpSetHeader, abi.OpAddHeader:
		ok = validFieldValue(v)
	case abi.OpSetRawQuery:
		ok = !strings.ContainsFunc(v, notQuery)
	case abi.OpSetPath:
		ok = strings.HasPrefix(v, "/") && !strings.ContainsFunc(v, notPath)
	case abi.OpSetMethod:
		ok = v != "" && !strings.ContainsFunc(v, notMethod)
	case abi.OpSetAuthority:
		ok = v != "" && !strings.ContainsFunc(v, notAuthority)
	case abi.OpSetStatus:
		status, err := strconv.Atoi(v)
		ok = err == nil && status >= 200 && status <= 599
	}
	if ok {
		return nil
	}
	err := fmt.Errorf("edit %s %q: value %q may not stand there", e.op, e.name, v)
	if _, constant := e.value.constant(); constant {
		return fmt.Errorf("result: %w", err)
	}
	return problem.New(problem.BadRequest, err)
}

func notMethod(c rune) bool { return notLowerToken(c) && (c < 'A' || c > 'Z') }

// applyRequest applies the edits of map_request or integrate; h is the header they change.
func (r *request) applyRequest(edits []edit, h *exchange.Header) error {
	if err := r.evaluate(edits); err != nil {
		return err
	}
	for i := range edits {
		e, v := &edits[i], r.values[i]
		switch e.op {
		case abi.OpSetHeader, abi.OpAddHeader, abi.OpRemoveHeader:
			// What a policy sets or removes, a client must not bring in under a spelling that
			// an upstream takes for the same (CVE-2025-64484), nor as a trailer.
			h.DeleteFunc(func(name, _ []byte) bool { return http1.Shadows(name, e.name) && string(name) != e.name })
			editHeader(h, e, v)
			r.out.edited = append(r.out.edited, e.name)
		case abi.OpSetQuery, abi.OpAddQuery, abi.OpRemoveQuery:
			r.query = editQuery(r.query, e, v)
		case abi.OpSetRawQuery:
			r.query, r.emptyQuery = v.text, false
		case abi.OpSetPath:
			r.path, r.pathSet = v.text, true
		case abi.OpSetMethod:
			r.method = v.text
		case abi.OpSetAuthority:
			r.authority = v.text
		case abi.OpSetContext:
			r.context = append(r.context, pair{e.name, v.text})
		case abi.OpSetBody:
			r.x.SetBody([]byte(v.text))
		}
	}
	return nil
}

// applyResponse applies the edits of map_response.
func (r *request) applyResponse(edits []edit) error {
	if err := r.evaluate(edits); err != nil {
		return err
	}
	resp := &r.x.Response
	for i := range edits {
		e, v := &edits[i], r.values[i]
		switch e.op {
		case abi.OpSetHeader, abi.OpAddHeader, abi.OpRemoveHeader:
			editHeader(&resp.Header, e, v)
		case abi.OpSetStatus:
			resp.Status, _ = strconv.Atoi(v.text) // checked
		case abi.OpSetContext:
			r.context = append(r.context, pair{e.name, v.text})
		case abi.OpSetBody:
			// The validators and coding of the old body do not describe the new one (RFC 9110 8.8, 8.4).
			for _, name := range [...]string{"etag", "last-modified", "content-encoding", "content-md5",
				"accept-ranges", "content-range", "digest", "repr-digest", "content-digest"} {
				resp.Header.Del(name)
			}
			resp.SetBody([]byte(v.text))
		}
	}
	return nil
}

// editHeader changes one field. An absent value removes what it would have replaced.
func editHeader(h *exchange.Header, e *edit, v evaluated) {
	switch {
	case e.op == abi.OpRemoveHeader, e.op == abi.OpSetHeader && !v.present:
		h.Del(e.name)
	case e.op == abi.OpSetHeader:
		h.Set(e.name, v.text)
	case v.present:
		h.Add(e.name, v.text)
	}
}

func notQuery(c rune) bool     { return c <= ' ' || c == '#' || c >= 0x7f }
func notPath(c rune) bool      { return notQuery(c) || c == '?' }
func notAuthority(c rune) bool { return notQuery(c) || strings.ContainsRune(`/?@\,`, c) }

// editQuery changes one parameter of a raw query and leaves the rest byte for byte.
func editQuery(query string, e *edit, v evaluated) string {
	var pieces []string
	if query != "" {
		pieces = strings.Split(query, "&")
	}
	if e.op != abi.OpAddQuery {
		pieces = slices.DeleteFunc(pieces, func(piece string) bool {
			k, _, _ := strings.Cut(piece, "=")
			return unescape(k) == e.name
		})
	}
	if e.op != abi.OpRemoveQuery && v.present {
		pieces = append(pieces, escapeQuery(e.name)+"="+escapeQuery(v.text))
	}
	return strings.Join(pieces, "&")
}

// escapeQuery percent-encodes a blank, too, which a plus means only to readers of forms.
func escapeQuery(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}
