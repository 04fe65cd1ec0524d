package json

import "unicode/utf8"

// Append writes v to dst, without blanks, scalars as they were written.
func (v *Value) Append(dst []byte) []byte {
	switch v.Kind {
	case Array:
		dst = append(dst, '[')
		for i := range v.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = v.Items[i].Append(dst)
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for i := range v.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendString(dst, v.Items[i].Name), ':')
			dst = v.Items[i].Append(dst)
		}
		return append(dst, '}')
	case String:
		return AppendString(dst, v.Text)
	}
	return append(dst, v.Raw...)
}

// Of is a string value with that text; bytes that are no UTF-8 become U+FFFD when written.
func Of(text string) Value { return Value{Kind: String, Text: text} }

// AppendString writes s as a JSON string. Whatever s holds, the result is one string:
// text from a client cannot end it.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
