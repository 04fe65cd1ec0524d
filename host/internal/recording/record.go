package recording

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

// maxBody is how much of a body is recorded.
const maxBody = 64 << 10

// learnHeader learns from a header, by its name and by its form.
func (r *redactor) learnHeader(of, name string, value []byte) {
	name = strings.ToLower(name)
	if r.rules.header(of, name) {
		r.credentials(name, value)
	}
	if name == "cookie" {
		r.cookies(value)
	}
	r.tokens(value)
}

// cookies learns those that the operator names.
func (r *redactor) cookies(value []byte) {
	for _, at := range cookiePlaces(value) {
		name := bytes.TrimSpace(value[bytes.LastIndexByte(value[:at[0]], ';')+1 : at[0]])
		if r.rules.redacts("cookie." + strings.TrimRight(string(name), " =")) {
			r.learn(value[at[0]:at[1]])
		}
	}
}

// queryPlaces is where the values of a raw query's credentials stand.
func (r *redactor) queryPlaces(query []byte) (places [][2]int) {
	from := 0
	for from <= len(query) {
		end := len(query)
		if i := bytes.IndexAny(query[from:], "&;"); i >= 0 { // some servers split at a semicolon too
			end = from + i
		}
		if i := bytes.IndexByte(query[from:end], '='); i >= 0 && r.rules.param(paramName(query[from:from+i])) && from+i+1 < end {
			places = append(places, [2]int{from + i + 1, end})
		}
		from = end + 1
	}
	return places
}

// paramName is a name as a server reads it that decodes it, once or again.
func paramName(raw []byte) string {
	v := newView(raw)
	for next, decoded := v.decode(); decoded; next, decoded = v.decode() {
		v = next
	}
	name, _, _ := strings.Cut(string(v.text), "[") // token[] and token[0]
	return name
}

func (r *redactor) learnQuery(query []byte) {
	for _, at := range r.queryPlaces(query) {
		value := query[at[0]:at[1]]
		if plain, err := url.QueryUnescape(string(value)); err == nil {
			r.learn([]byte(plain))
		}
		r.learn(value)
	}
	r.tokens(query)
}

func (r *redactor) learnBody(body []byte) {
	for _, at := range r.rules.bodyPlaces(body) {
		r.learn(body[at[0]:at[1]])
	}
	r.tokens(body)
}

// learnRequest learns from what the plugin sees, its bodies uncut.
func (r *redactor) learnRequest(q abi.Request) {
	for f := range q.Fields {
		switch f.Type() {
		case abi.TypeBytes:
			value := q.Bytes(f)
			switch {
			case r.rules.redacts(f.String()) && f != abi.FieldBody && f != abi.FieldResponseBody:
				r.learn(value)
			case f == abi.FieldQuery:
				r.learnQuery(value)
			default:
				r.learnBody(value)
			}
		case abi.TypePairs:
			for name, value := range q.Pairs(f).All {
				r.learnPair(f, string(name), value)
			}
		}
	}
}

func (r *redactor) learnPair(f abi.Field, name string, value []byte) {
	switch of := selectorOf(f); {
	case f == abi.FieldHeaders || f == abi.FieldResponseHeaders:
		r.learnHeader(of, name, value)
	case r.rules.member(of, name):
		r.learn(value)
	}
	r.tokens(value)
}

// selectorOf is how selectors call the members of a list.
func selectorOf(f abi.Field) string {
	switch f {
	case abi.FieldHeaders:
		return "header"
	case abi.FieldResponseHeaders:
		return "response_header"
	case abi.FieldQueryParams:
		return "param"
	case abi.FieldPathParams:
		return "path_param"
	case abi.FieldStageVariables:
		return "stage_variable"
	}
	return f.String()
}

// request is the fields of a request without secrets, its bodies cut; cut are those that were.
func (r *redactor) request(q abi.Request) (fields casefile.Fields, cut []string, err error) {
	fields = casefile.Fields{}
	for f := range q.Fields {
		var value any
		switch f.Type() {
		case abi.TypeU64:
			n, _ := q.Uint(f)
			value = json.RawMessage(strconv.FormatUint(n, 10))
		case abi.TypePairs:
			list := []casefile.Pair{}
			for name, v := range q.Pairs(f).All {
				list = append(list, casefile.Pair{bytes.Clone(name), r.pair(f, string(name), v)})
			}
			value = list
		default:
			value = casefile.Bytes(r.bytes(f, q.Bytes(f)))
		}
		if fields[f.String()], err = json.Marshal(value); err != nil {
			return nil, nil, err
		}
	}
	for _, f := range [][2]abi.Field{{abi.FieldBody, abi.FieldBodyTruncated}, {abi.FieldResponseBody, abi.FieldResponseBodyTruncated}} {
		if len(q.Bytes(f[0])) > maxBody {
			cut = append(cut, f[0].String())
			fields[f[1].String()] = json.RawMessage("1")
		}
	}
	return fields, cut, nil
}

func (r *redactor) pair(f abi.Field, name string, value []byte) []byte {
	of := selectorOf(f)
	switch where := of + "." + name; {
	case f == abi.FieldHeaders || f == abi.FieldResponseHeaders:
		return r.header(of, name, value)
	case r.rules.member(of, name):
		return r.all(where, value)
	case f == abi.FieldContext:
		return r.part(where, value)
	default:
		return r.text(where, value)
	}
}

func (r *redactor) bytes(f abi.Field, value []byte) []byte {
	name := f.String()
	switch {
	case f == abi.FieldBody || f == abi.FieldResponseBody:
		return r.body(name, value)
	case r.rules.redacts(name):
		return r.all(name, value)
	case f == abi.FieldQuery:
		return r.places(name, value, r.queryPlaces(value))
	case f == abi.FieldState:
		return r.part(name, value)
	default:
		return r.text(name, value)
	}
}

// body is a body without secrets, cut.
func (r *redactor) body(where string, body []byte) []byte {
	body = body[:min(len(body), maxBody)]
	if r.rules.redacts(where) {
		out := fill(bytes.Repeat([]byte("x"), len(body)), 0)
		r.tell(where, body, out)
		return out
	}
	return r.places(where, body, r.rules.bodyPlaces(body))
}

// places is text, and what stands in some places replaced whatever it is.
func (r *redactor) places(where string, b []byte, places [][2]int) []byte {
	out := r.text("", b)
	for _, at := range places {
		copy(out[at[0]:], r.learn(b[at[0]:at[1]]).placeholder)
	}
	r.tell(where, b, out)
	return out
}

// config is a config without the values of references and what else is known: of JSON only
// strings change, and numbers that are such a value.
func (r *redactor) config(config []byte) []byte {
	if config == nil || r.rules.reveals("config") && !r.rules.redacts("config") {
		return config
	}
	if !json.Valid(config) {
		return r.text("config", config)
	}
	out := bytes.Clone(config)
	for i := 0; i < len(config); i++ {
		switch c := config[i]; {
		case c == '"':
			end := i + 1 + stringEnd(config[i+1:])
			copy(out[i+1:], r.text("", config[i+1:end]))
			i = end
		case c == '-' || c >= '0' && c <= '9':
			end := i
			for end < len(config) && strings.IndexByte("+-.eE0123456789", config[end]) >= 0 {
				end++
			}
			if n := config[i:end]; len(n) >= gram && !bytes.Equal(r.text("", n), n) {
				copy(out[i:], bytes.Repeat([]byte("1"), len(n)))
			}
			i = end - 1
		}
	}
	r.tell("config", config, out)
	return out
}

// jsonText is a value in JSON with the strings in it as text gives them.
func (r *redactor) jsonText(text json.RawMessage) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return string(text)
	}
	out, err := json.Marshal(r.jsonValue(v))
	if err != nil {
		return string(text)
	}
	return string(out)
}

func (r *redactor) jsonValue(v any) any {
	switch v := v.(type) {
	case string:
		return string(r.text("", []byte(v)))
	case []any:
		for i := range v {
			v[i] = r.jsonValue(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = r.jsonValue(v[name])
		}
	}
	return v
}
