package casefile

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

func parseValue(text json.RawMessage) (abi.Value, error) {
	var list []json.RawMessage
	if json.Unmarshal(text, &list) != nil {
		list = []json.RawMessage{text}
	}
	v := abi.Value{}
	for _, part := range list {
		var form struct {
			Select *string `json:"select"`
		}
		if strict(part, &form) == nil && form.Select != nil {
			v = v.Select(*form.Select)
			continue
		}
		b, err := parseBytes(part)
		if err != nil {
			return nil, err
		}
		v = v.Literal(string(b))
	}
	return v, nil
}

func parseValues(text json.RawMessage) (out []abi.Value, err error) {
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	for _, item := range list {
		v, err := parseValue(item)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

type editForm struct {
	Op    string          `json:"op"`
	Name  string          `json:"name,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
}

func parseEdits(text json.RawMessage) (out []abi.Edit, err error) {
	var list []editForm
	if err := strict(text, &list); err != nil {
		return nil, err
	}
	for _, f := range list {
		op, ok := abi.OpByName(f.Op)
		if err := known(ok, "op", f.Op); err != nil {
			return nil, err
		}
		e := abi.Edit{Op: op, Name: []byte(f.Name)}
		if f.Value != nil {
			if e.Value, err = parseValue(f.Value); err != nil {
				return nil, err
			}
		}
		out = append(out, e)
	}
	return out, nil
}

type bucketForm struct {
	Name  string          `json:"name,omitempty"`
	Key   json.RawMessage `json:"key,omitempty"`
	Rate  float64         `json:"rate"`
	Burst uint64          `json:"burst"`
	Cost  uint64          `json:"cost"`
}

func parseBuckets(text json.RawMessage) (out []abi.Bucket, err error) {
	var list []bucketForm
	if err := strict(text, &list); err != nil {
		return nil, err
	}
	for _, f := range list {
		b := abi.Bucket{Rate: f.Rate, Burst: f.Burst, Cost: f.Cost, Name: []byte(f.Name)}
		if f.Key != nil {
			if b.Key, err = parseValue(f.Key); err != nil {
				return nil, err
			}
		}
		out = append(out, b)
	}
	return out, nil
}

// describe is a field in canonical spelling; "absent" when it is.
func describe[F abi.ID](r abi.Record[F], id F) string {
	if !r.Has(id) {
		return "absent"
	}
	var form any
	switch id.Type() {
	case abi.TypeBytes:
		form = describeBytes(r.Bytes(id))
	case abi.TypeU64:
		v, _ := r.Uint(id)
		form = describeUint(any(id), v)
	case abi.TypePairs:
		list := [][2]any{}
		for name, value := range r.Pairs(id).All {
			list = append(list, [2]any{describeBytes(name), describeBytes(value)})
		}
		form = list
	case abi.TypeValue:
		v, _ := r.Value(id)
		form = describeValue(v)
	case abi.TypeValues:
		list := []any{}
		for v := range r.Values(id).All {
			list = append(list, describeValue(v))
		}
		form = list
	case abi.TypeEdits:
		list := []editForm{}
		for e := range r.Edits(id).All {
			list = append(list, editForm{e.Op.String(), string(e.Name), optional(e.Value)})
		}
		form = list
	case abi.TypeBuckets:
		list := []bucketForm{}
		for b := range r.Buckets(id).All {
			list = append(list, bucketForm{string(b.Name), optional(b.Key), b.Rate, b.Burst, b.Cost})
		}
		form = list
	default:
		list := []any{}
		for name := range r.Names(id).All {
			list = append(list, describeBytes(name))
		}
		form = list
	}
	text, err := json.Marshal(form)
	if err != nil {
		return fmt.Sprintf("%q", err) // a rate is finite, all else has a JSON form
	}
	return string(text)
}

func describeBytes(b []byte) any {
	if utf8.Valid(b) {
		return string(b)
	}
	return map[string]string{"hex": hex.EncodeToString(b)}
}

func describeUint(id any, v uint64) any {
	switch id {
	case abi.ResultDecision:
		return abi.Decision(v).String()
	case abi.ResultScope:
		return abi.Scope(v).String()
	case abi.ResultCallFlags:
		names := []string{}
		for f := abi.CallFlags(1); f != 0; f <<= 1 {
			if abi.CallFlags(v)&f != 0 {
				names = append(names, f.String())
			}
		}
		return names
	}
	return v
}

func describeValue(v abi.Value) any {
	list := []any{}
	for p := range v.Parts {
		switch {
		case p.Selector == 0:
			list = append(list, describeBytes(p.Text))
		case p.Selector.HasArg():
			list = append(list, map[string]string{"select": p.Selector.String() + "." + string(p.Text)})
		default:
			list = append(list, map[string]string{"select": p.Selector.String()})
		}
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func optional(v abi.Value) json.RawMessage {
	if len(v) == 0 {
		return nil
	}
	text, err := json.Marshal(describeValue(v))
	if err != nil {
		return nil // strings and maps of strings always have a JSON form
	}
	return text
}
