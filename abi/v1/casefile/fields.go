package casefile

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// Fields is the logical form of a record: values by the names of their fields.
type Fields map[string]json.RawMessage

// EncodeRequest is the request record of fields; hook 0 is a capability's.
func EncodeRequest(hook abi.Hook, fields Fields) ([]byte, error) {
	return encode[abi.Field](hook, fields, nil)
}

// EncodeResult is the result record of fields; hook 0 is a capability's.
func EncodeResult(hook abi.Hook, fields Fields) ([]byte, error) {
	return encode[abi.ResultField](hook, fields, nil)
}

// Decode is the logical form of a record, each value in the one canonical spelling.
func Decode[F abi.ID](r abi.Record[F]) Fields {
	out := Fields{}
	for id := range r.Fields {
		out[id.String()] = json.RawMessage(describe(r, id))
	}
	return out
}

func encode[F abi.ID](hook abi.Hook, fields Fields, mask *abi.Mask) ([]byte, error) {
	type entry struct {
		id   F
		text json.RawMessage
	}
	var entries []entry
	room := 4096
	for name, text := range fields {
		id, ok := lookUp[F](name)
		if !ok {
			return nil, fmt.Errorf("unknown field %q", name)
		}
		if hook != 0 && !id.In(hook) {
			return nil, fmt.Errorf("hook %v has no field %q", hook, name)
		}
		entries = append(entries, entry{id, text})
		room += 4 * len(text)
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.id, b.id) })
	var w abi.Writer[F]
	e := encoder[F]{w: &w, mask: mask}
	buf := make([]byte, room)
	count := 0
	for _, f := range entries {
		if e.wants(f.id) {
			count++
		}
	}
	w.Start(buf, hook, count)
	for _, f := range entries {
		if !e.wants(f.id) {
			continue
		}
		if err := e.field(f.id, f.text); err != nil {
			return nil, fmt.Errorf("field %v: %w", f.id, err)
		}
	}
	n, err := w.Finish()
	return buf[:n], err
}

func lookUp[F abi.ID](name string) (F, bool) {
	var zero F
	if _, request := any(zero).(abi.Field); request {
		f, ok := abi.FieldByName(name)
		return F(f), ok
	}
	f, ok := abi.ResultFieldByName(name)
	return F(f), ok
}

type encoder[F abi.ID] struct {
	w    *abi.Writer[F]
	mask *abi.Mask
}

func (e *encoder[F]) wants(id F) bool { return e.mask == nil || e.mask.Has(abi.Field(id)) }

func (e *encoder[F]) field(id F, text json.RawMessage) error {
	switch id.Type() {
	case abi.TypeBytes:
		b, err := parseBytes(text)
		e.w.Bytes(id, b)
		return err
	case abi.TypeU64:
		v, err := parseUint(any(id), text)
		e.w.Uint(id, v)
		return err
	case abi.TypePairs:
		pairs, err := parsePairs(text)
		e.w.BeginPairs(id)
		for _, p := range pairs {
			if e.wantsPair(id, p.name) {
				e.w.Pair(p.name, p.value)
			}
		}
		e.w.EndPairs()
		return err
	case abi.TypeValue:
		v, err := parseValue(text)
		e.w.Value(id, v)
		return err
	case abi.TypeValues:
		v, err := parseValues(text)
		e.w.Values(id, v)
		return err
	case abi.TypeEdits:
		v, err := parseEdits(text)
		e.w.Edits(id, v)
		return err
	case abi.TypeBuckets:
		v, err := parseBuckets(text)
		e.w.Buckets(id, v)
		return err
	default:
		var names []string
		err := strict(text, &names)
		e.w.Names(id, names)
		return err
	}
}

// cutBody cuts a body as the host would.
func cutBody(fields Fields, body abi.Field, need abi.BodyNeed) error {
	text, ok := fields[body.String()]
	if !ok || need.Mode == abi.BodyNone {
		return nil
	}
	b, err := parseBytes(text)
	if err != nil || len(b) <= need.Max {
		return err
	}
	if need.Mode == abi.BodyFull {
		return fmt.Errorf("%v of %d bytes, which the host would refuse: the manifest's max is %d", body, len(b), need.Max)
	}
	fields[body.String()] = json.RawMessage(`{"hex": "` + hex.EncodeToString(b[:need.Max]) + `"}`)
	fields[body.String()+"_truncated"] = json.RawMessage("1")
	return nil
}

func (e *encoder[F]) wantsPair(id F, name []byte) bool {
	if e.mask == nil {
		return true
	}
	switch abi.Field(id) {
	case abi.FieldHeaders:
		return e.mask.WantsHeader(name)
	case abi.FieldQueryParams:
		return e.mask.WantsQueryParam(name)
	case abi.FieldResponseHeaders:
		return e.mask.WantsResponseHeader(name)
	}
	return true
}

func parseBytes(text json.RawMessage) ([]byte, error) {
	var s string
	if json.Unmarshal(text, &s) == nil {
		return []byte(s), nil
	}
	var form struct {
		Hex    *string         `json:"hex"`
		Base64 *string         `json:"base64"`
		JSON   json.RawMessage `json:"json"`
	}
	if err := strict(text, &form); err != nil {
		return nil, err
	}
	switch {
	case form.Hex != nil:
		return hex.DecodeString(*form.Hex)
	case form.Base64 != nil:
		return base64.StdEncoding.DecodeString(*form.Base64)
	case form.JSON != nil:
		var b bytes.Buffer
		err := json.Compact(&b, form.JSON)
		return b.Bytes(), err
	}
	return nil, fmt.Errorf("got %s, want text, hex, base64 or json", text)
}

func parseUint(id any, text json.RawMessage) (uint64, error) {
	if v, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64); err == nil {
		return v, nil
	}
	var name string
	switch id {
	case abi.ResultDecision:
		if err := json.Unmarshal(text, &name); err != nil {
			return 0, err
		}
		d, ok := abi.DecisionByName(name)
		return uint64(d), known(ok, "decision", name)
	case abi.ResultScope:
		if err := json.Unmarshal(text, &name); err != nil {
			return 0, err
		}
		s, ok := abi.ScopeByName(name)
		return uint64(s), known(ok, "scope", name)
	case abi.ResultCallFlags:
		var names []string
		if err := json.Unmarshal(text, &names); err != nil {
			return 0, err
		}
		var sum abi.CallFlags
		for _, name := range names {
			f, ok := abi.CallFlagByName(name)
			if err := known(ok, "call flag", name); err != nil {
				return 0, err
			}
			sum |= f
		}
		return uint64(sum), nil
	}
	return 0, fmt.Errorf("got %s, want a whole number from 0", text)
}

func known(ok bool, what, name string) error {
	if !ok {
		return fmt.Errorf("unknown %s %q", what, name)
	}
	return nil
}

type pair struct{ name, value []byte }

func parsePairs(text json.RawMessage) (out []pair, err error) {
	var list [][2]json.RawMessage
	if json.Unmarshal(text, &list) == nil {
		for _, item := range list {
			name, err := parseBytes(item[0])
			if err != nil {
				return nil, err
			}
			value, err := parseBytes(item[1])
			if err != nil {
				return nil, err
			}
			out = append(out, pair{name, value})
		}
		return out, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("want a list of pairs or an object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		value, err := parseBytes(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, pair{[]byte(name.(string)), value}) // names of members are strings
	}
	return out, nil
}
