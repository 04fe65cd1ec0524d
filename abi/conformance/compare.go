package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

// check says how an answer differs from the one wanted.
func (w *want) check(resp *http.Response, body []byte, came []seen) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if w.Status != 0 && resp.StatusCode != w.Status {
		fault("status %d, want %d; body %.200q", resp.StatusCode, w.Status, body)
	}
	checkHeaders(resp.Header, w.Headers, fault)
	if w.Body != nil && string(body) != *w.Body {
		fault("body %.200q, want %.200q", body, *w.Body)
	}
	if w.Record != nil {
		faults = append(faults, w.Record.check(body, resp.TLS != nil))
	}
	switch {
	case w.Upstream == nil:
	case string(w.Upstream) == "false":
		if len(came) != 0 {
			fault("%d requests at the upstream, want none", len(came))
		}
	case len(came) != 1:
		fault("%d requests at the upstream, want one", len(came))
	default:
		var a arrived
		if err := strict(w.Upstream, &a); err != nil {
			return fmt.Errorf("read upstream of the case: %w", err)
		}
		a.check(&came[0], fault)
	}
	return errors.Join(faults...)
}

func checkHeaders(got http.Header, want map[string]*string, fault func(string, ...any)) {
	for name, value := range want {
		all := got.Values(name)
		switch text := strings.Join(all, ", "); {
		case value == nil && len(all) > 0:
			fault("header %q is %q, want none", name, text)
		case value != nil && (len(all) == 0 || text != *value):
			fault("header %q is %q, want %q", name, all, *value)
		}
	}
}

func (a *arrived) check(got *seen, fault func(string, ...any)) {
	for _, c := range []struct{ what, got, want string }{
		{"method", got.method, a.Method}, {"target", got.target, a.Target}, {"host", got.host, a.Host},
	} {
		if c.want != "" && c.got != c.want {
			fault("upstream: %s %q, want %q", c.what, c.got, c.want)
		}
	}
	checkHeaders(got.header, a.Headers, func(format string, args ...any) { fault("upstream: "+format, args...) })
	if a.Body != nil && got.body != *a.Body {
		fault("upstream: body %.200q, want %.200q", got.body, *a.Body)
	}
}

// check says how the record in a body differs; fields of TLS are not asked for without it.
func (w *record) check(body []byte, secure bool) error {
	r, err := abi.ParseRequest(body)
	if err != nil {
		return fmt.Errorf("body %.200q: %w", body, err)
	}
	hook, ok := abi.HookByName(w.Hook)
	if !ok || r.Hook() != hook {
		return fmt.Errorf("record of hook %v, want %q", r.Hook(), w.Hook)
	}
	got := casefile.Decode(r)
	var faults []error
	for _, name := range w.Present {
		if got[name] == nil && (secure || !strings.HasPrefix(name, "tls_")) {
			faults = append(faults, fmt.Errorf("record: field %s is absent", name))
		}
	}
	for _, name := range w.Absent {
		if got[name] != nil {
			faults = append(faults, fmt.Errorf("record: field %s is %.200s, want it absent", name, got[name]))
		}
	}
	if w.Only != nil {
		var names []string
		for f := range r.Fields {
			names = append(names, f.String())
		}
		if !slices.Equal(names, w.Only) {
			faults = append(faults, fmt.Errorf("record: fields %q, want %q", names, w.Only))
		}
	}
	wanted := casefile.Fields{}
	for name, value := range w.Fields {
		wanted[name] = value
		got[name] = only(got[name], value)
	}
	for name, value := range w.Exact {
		wanted[name] = value
	}
	return errors.Join(append(faults, compare(hook, got, wanted))...)
}

// compare encodes both sides, because a value may be written in several ways.
func compare(hook abi.Hook, got, want casefile.Fields) error {
	var faults []error
	for name, value := range want {
		if got[name] == nil {
			faults = append(faults, fmt.Errorf("record: field %s is absent, want %.200s", name, value))
			continue
		}
		have := got[name]
		if strings.HasSuffix(name, "headers") {
			have, value = byName(have), byName(value)
		}
		w, err := casefile.EncodeRequest(hook, casefile.Fields{name: value})
		if err != nil {
			faults = append(faults, err)
			continue
		}
		g, err := casefile.EncodeRequest(hook, casefile.Fields{name: have})
		if err != nil || !bytes.Equal(g, w) {
			faults = append(faults, fmt.Errorf("record: field %s is %.300s, want %.300s", name, have, value))
		}
	}
	return errors.Join(faults...)
}

// only is the pairs of got whose names stand in want too; what is no list of pairs is left.
func only(got, want json.RawMessage) json.RawMessage {
	var have, names [][2]json.RawMessage
	if json.Unmarshal(got, &have) != nil || json.Unmarshal(want, &names) != nil {
		return got
	}
	kept := slices.DeleteFunc(have, func(p [2]json.RawMessage) bool {
		return !slices.ContainsFunc(names, func(n [2]json.RawMessage) bool { return bytes.Equal(n[0], p[0]) })
	})
	text, err := json.Marshal(kept)
	if err != nil {
		return got
	}
	return text
}

// byName sorts pairs by their names: clients send headers of different names in any order,
// and those of one name in the order that counts (RFC 9110, section 5.3).
func byName(pairs json.RawMessage) json.RawMessage {
	var list [][2]json.RawMessage
	if json.Unmarshal(pairs, &list) != nil {
		return pairs
	}
	slices.SortStableFunc(list, func(a, b [2]json.RawMessage) int { return bytes.Compare(a[0], b[0]) })
	text, err := json.Marshal(list)
	if err != nil {
		return pairs
	}
	return text
}

func strict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
