package document

import (
	"bytes"
	"encoding/json"
	"math"

	"go.yaml.in/yaml/v3"
)

// JSON is v as JSON with the references in its texts resolved, keys in the order of the
// document; nil when v is absent.
func (v Value) JSON() json.RawMessage {
	if !v.Exists() {
		return nil
	}
	var b bytes.Buffer
	v.appendJSON(&b)
	return b.Bytes()
}

func (v Value) appendJSON(b *bytes.Buffer) {
	switch {
	case v.IsObject():
		separator := byte('{')
		for key, field := range v.Fields() {
			b.WriteByte(separator)
			writeText(b, key)
			b.WriteByte(':')
			field.appendJSON(b)
			separator = ','
		}
		if separator == '{' {
			b.WriteByte('{')
		}
		b.WriteByte('}')
	case v.IsList():
		separator := byte('[')
		for item := range v.Items() {
			b.WriteByte(separator)
			item.appendJSON(b)
			separator = ','
		}
		if separator == '[' {
			b.WriteByte('[')
		}
		b.WriteByte(']')
	case v.node.Kind == yaml.ScalarNode:
		v.appendScalar(b)
	}
}

func (v Value) appendScalar(b *bytes.Buffer) {
	switch v.node.ShortTag() {
	case "!!null":
		b.WriteString("null")
	case "!!bool":
		var t bool
		if v.node.Decode(&t) != nil {
			v.Report("", "true or false")
		}
		writeAny(b, t)
	case "!!int", "!!float":
		if json.Valid([]byte(v.node.Value)) {
			b.WriteString(v.node.Value) // as written: a float64 would lose digits
			return
		}
		var n any // a form that only YAML has, such as 0x10
		if v.node.Decode(&n) != nil || !finite(n) {
			v.Report("", "a number that JSON can hold")
			n = 0
		}
		writeAny(b, n)
	default:
		text, _ := v.Scalar()
		writeText(b, text)
	}
}

func finite(n any) bool {
	f, ok := n.(float64)
	return !ok || !math.IsInf(f, 0) && !math.IsNaN(f)
}

func writeText(b *bytes.Buffer, text string) { writeAny(b, text) }

func writeAny(b *bytes.Buffer, value any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(value)     // texts, numbers and booleans always encode
	b.Truncate(b.Len() - 1) // the newline
}
