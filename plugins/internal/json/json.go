package json

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 64

// Kind is the kind of a value. The zero kind is no value.
type Kind uint8

// The kinds.
const (
	Null Kind = iota + 1
	Bool
	Number
	String
	Array
	Object
)

// String is the kind's name in an error.
func (k Kind) String() string {
	return [...]string{"nothing", "null", "boolean", "number", "string", "array", "object"}[k]
}

// Value is one JSON value. Its strings share the memory of the text it was parsed from.
// The zero Value is absent.
type Value struct {
	Kind Kind
	// Name is the name under which the object around holds the value.
	Name string
	// Raw is the text of a scalar as it was written.
	Raw string
	// Text is the content of a string, unescaped.
	Text string
	// Items are an array's elements or an object's members, in order.
	Items []Value
}

// Error is a syntax error.
type Error struct {
	Offset int    // of the byte, from 0
	Reason string // what is wrong there
}

// Error says where and what.
func (e *Error) Error() string { return "json at byte " + strconv.Itoa(e.Offset) + ": " + e.Reason }

// What [Parse] refuses beyond RFC 8259's grammar.
const (
	ReasonDuplicate = "duplicate name"
	ReasonUTF8      = "invalid UTF-8"
	ReasonSurrogate = "lone surrogate"
	ReasonDepth     = "nested too deeply"
)

// Parse reads text, which is one value. Errors are [*Error].
func Parse(text string) (Value, error) { return parse(text, false) }

// ParseLax reads text like [Parse], and takes names without quotes and strings in single
// quotes, as in {statusCode: 200}.
func ParseLax(text string) (Value, error) { return parse(text, true) }

func parse(text string, lax bool) (v Value, err error) {
	s := scanner{text: text, lax: lax}
	if s.value(&v, 0) {
		s.blank()
		if s.at == len(text) {
			return v, nil
		}
		s.fail("text after the value")
	}
	return Value{}, &Error{s.at, s.reason}
}

// Get is the member of that name; absent when there is none or v is no object.
func (v *Value) Get(name string) Value {
	if m := v.Find(name); m != nil {
		return *m
	}
	return Value{}
}

// Find is a pointer to the member of that name, nil when there is none.
func (v *Value) Find(name string) *Value {
	if v.Kind == Object {
		for i := range v.Items {
			if v.Items[i].Name == name {
				return &v.Items[i]
			}
		}
	}
	return nil
}

// Float is the value of a number; false when v is none or it is beyond float64.
func (v *Value) Float() (float64, bool) {
	if v.Kind != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(v.Raw, 64)
	return f, err == nil
}

// scanner stands at a byte of a text; reason is set once it failed.
type scanner struct {
	text   string
	at     int
	lax    bool
	reason string
}

func (s *scanner) fail(reason string) bool {
	s.reason = reason
	return false
}

// peek is the byte at hand, 0 at the end; a NUL in the text is valid nowhere either.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) blank() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) value(v *Value, depth int) bool {
	s.blank()
	start := s.at
	ok := false
	switch c := s.peek(); {
	case c == '{' || c == '[':
		if depth == MaxDepth {
			return s.fail(ReasonDepth)
		}
		if c == '{' {
			return s.object(v, depth+1)
		}
		return s.array(v, depth+1)
	case c == '"' || s.lax && c == '\'':
		v.Kind = String
		v.Text, ok = s.str()
	case c == '-' || '0' <= c && c <= '9':
		v.Kind = Number
		ok = s.number()
	case c == 't':
		v.Kind, ok = Bool, s.word("true")
	case c == 'f':
		v.Kind, ok = Bool, s.word("false")
	case c == 'n':
		v.Kind, ok = Null, s.word("null")
	default:
		return s.fail("want a value")
	}
	v.Raw = s.text[start:s.at]
	return ok
}

func (s *scanner) word(w string) bool {
	if len(s.text)-s.at < len(w) || s.text[s.at:s.at+len(w)] != w {
		return s.fail("want a value")
	}
	s.at += len(w)
	return true
}

func (s *scanner) digits() bool {
	start := s.at
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.at++
	}
	return s.at > start || s.fail("want a digit")
}

func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c = s.peek(); c == '+' || c == '-' {
			s.at++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) array(v *Value, depth int) bool {
	v.Kind = Array
	s.at++
	s.blank()
	if s.peek() == ']' {
		s.at++
		return true
	}
	for {
		v.Items = append(v.Items, Value{})
		if !s.value(&v.Items[len(v.Items)-1], depth) {
			return false
		}
		s.blank()
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return true
		default:
			return s.fail("want , or ]")
		}
	}
}

func (s *scanner) object(v *Value, depth int) bool {
	v.Kind = Object
	s.at++
	s.blank()
	if s.peek() == '}' {
		s.at++
		return true
	}
	var seen map[string]struct{} // beyond a few members, so that many cost no square
	for {
		s.blank()
		start := s.at
		name, ok := s.name()
		if !ok {
			return false
		}
		if s.duplicate(v, name, &seen) {
			s.at = start
			return s.fail(ReasonDuplicate)
		}
		s.blank()
		if s.peek() != ':' {
			return s.fail("want :")
		}
		s.at++
		if v.Items == nil {
			v.Items = make([]Value, 0, 8)
		}
		v.Items = append(v.Items, Value{Name: name})
		if !s.value(&v.Items[len(v.Items)-1], depth) {
			return false
		}
		s.blank()
		switch s.peek() {
		case ',':
			s.at++
		case '}':
			s.at++
			return true
		default:
			return s.fail("want , or }")
		}
	}
}

func (s *scanner) duplicate(v *Value, name string, seen *map[string]struct{}) bool {
	if len(v.Items) < 16 {
		return v.Find(name) != nil
	}
	if *seen == nil {
		*seen = make(map[string]struct{}, 64)
		for i := range v.Items {
			(*seen)[v.Items[i].Name] = struct{}{}
		}
	}
	_, found := (*seen)[name]
	(*seen)[name] = struct{}{}
	return found
}

func (s *scanner) name() (string, bool) {
	c := s.peek()
	if c == '"' || s.lax && c == '\'' {
		return s.str()
	}
	start := s.at
	for s.lax && (c == '_' || c == '$' || 'a' <= c|0x20 && c|0x20 <= 'z' || s.at > start && '0' <= c && c <= '9') {
		s.at++
		c = s.peek()
	}
	if s.at == start {
		return "", s.fail("want a name")
	}
	return s.text[start:s.at], true
}

// str reads a string; without escapes it shares the text's memory.
func (s *scanner) str() (string, bool) {
	quote := s.text[s.at]
	s.at++
	start := s.at
	var out []byte
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == quote:
			part := s.text[start:s.at]
			s.at++
			if out == nil {
				return part, true
			}
			return string(append(out, part...)), true
		case c == '\\':
			out = append(out, s.text[start:s.at]...)
			r, ok := s.escape()
			if !ok {
				return "", false
			}
			out = utf8.AppendRune(out, r)
			start = s.at
		case c < ' ':
			return "", s.fail("control byte in a string")
		case c < utf8.RuneSelf:
			s.at++
		default:
			r, n := utf8.DecodeRuneInString(s.text[s.at:])
			if r == utf8.RuneError && n == 1 {
				return "", s.fail(ReasonUTF8)
			}
			s.at += n
		}
	}
	return "", s.fail("unterminated string")
}

func (s *scanner) escape() (rune, bool) {
	s.at++
	c := s.peek()
	s.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		return s.unicode()
	}
	if s.lax && c == '\'' {
		return '\'', true
	}
	s.at--
	return 0, s.fail("unknown escape")
}

// unicode reads the digits after \u and, for a surrogate, the second half (RFC 8259 7).
func (s *scanner) unicode() (rune, bool) {
	r, ok := s.hex4()
	if !ok || !utf16.IsSurrogate(r) {
		return r, ok
	}
	if len(s.text)-s.at < 6 || s.text[s.at:s.at+2] != `\u` {
		return 0, s.fail(ReasonSurrogate)
	}
	s.at += 2
	low, ok := s.hex4()
	if !ok {
		return 0, false
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, s.fail(ReasonSurrogate)
	}
	return r, true
}

func (s *scanner) hex4() (r rune, ok bool) {
	for range 4 {
		c := s.peek()
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, s.fail("want four hex digits")
		}
		r = r<<4 | rune(c)
		s.at++
	}
	return r, true
}
