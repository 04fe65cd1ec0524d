package json

import (
	stdjson "encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``:                       "json at byte 0: want a value",
		`nul`:                    "json at byte 0: want a value",
		`{"a":1,"a":2}`:          "json at byte 7: duplicate name",
		`{"a":1,"\u0061":2}`:     "json at byte 7: duplicate name",
		`[1,]`:                   "json at byte 3: want a value",
		`{"a":1,}`:               "json at byte 7: want a name",
		`{a:1}`:                  "json at byte 1: want a name",
		`{'a':1}`:                "json at byte 1: want a name",
		`{"a" 1}`:                "json at byte 5: want :",
		`01`:                     "json at byte 1: text after the value",
		`1.`:                     "json at byte 2: want a digit",
		`+1`:                     "json at byte 0: want a value",
		`"a`:                     "json at byte 2: unterminated string",
		"\"\xff\"":               "json at byte 1: invalid UTF-8",
		"\"\xed\xa0\x80\"":       "json at byte 1: invalid UTF-8",
		"\"\n\"":                 "json at byte 1: control byte in a string",
		`"\x"`:                   "json at byte 2: unknown escape",
		`"\`:                     "json at byte 2: unknown escape",
		`"\ud800"`:               "json at byte 7: lone surrogate",
		`"\udc00\ud800"`:         "json at byte 13: lone surrogate",
		`"\u12g4"`:               "json at byte 5: want four hex digits",
		"\ufeff{}":               "json at byte 0: want a value",
		"{}\x00":                 "json at byte 2: text after the value",
		strings.Repeat("[", 65):  "json at byte 64: nested too deeply",
		`{"a":1}{"a":1}`:         "json at byte 7: text after the value",
		"[1\u00a0]":              "json at byte 2: want , or ]",
		many(40, `"k39":1`):      "json at byte 321: duplicate name",
		`{"a":tru}`:              "json at byte 5: want a value",
		`{"a":1 "b":2}`:          "json at byte 7: want , or }",
		`{"a":{"b":[1,{"c":}]}}`: "json at byte 18: want a value",
	} {
		_, err := Parse(text)
		var syntax *Error
		if !errors.As(err, &syntax) || err.Error() != want {
			t.Errorf("Parse(%q): got %v, want %s", text, err, want)
		}
	}
}

func many(n int, last string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		b.WriteString(`"k` + string(rune('0'+i/10)) + string(rune('0'+i%10)) + `":1,`)
	}
	return b.String() + last + "}"
}

func TestParseLax(t *testing.T) {
	v, err := ParseLax(`{statusCode: 200, 'it\'s': 'a"b', $x_1: null}`)
	if err != nil || v.Get("statusCode").Raw != "200" || v.Get("it's").Text != `a"b` || v.Get("$x_1").Kind != Null {
		t.Fatalf("got %+v, %v", v, err)
	}
	for _, text := range []string{`{1a: 2}`, `{: 2}`, `{a: b}`, `{a: 1,}`} {
		if _, err := ParseLax(text); err == nil {
			t.Errorf("ParseLax(%q) took it", text)
		}
	}
}

func TestAppend(t *testing.T) {
	for text, want := range map[string]string{
		` { "a" : [ 1.50 , true , null , "x\u0000\n\"" ] , "" : { } } `: `{"a":[1.50,true,null,"x\u0000\u000a\""],"":{}}`,
		`[]`:   `[]`,
		`1e-7`: `1e-7`,
	} {
		v, err := Parse(text)
		if got := string(v.Append(nil)); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
	if got := string(AppendString(nil, "a\xff\"}")); got != "\"a\uFFFD\\\"}\"" {
		t.Errorf("got %s", got)
	}
}

// FuzzParse holds Parse against encoding/json: what Parse takes, both read alike; what
// only encoding/json takes is one of the four things that Parse refuses on purpose.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-0.5e+3,true,false,null,"\ud83d\ude00\n"]}`, `{"a":1,"a":2}`, `"\ud800"`,
		"\"\xff\"", `[[[[]]]]`, ` 1 `, `{"a":{"b":{}}}`, `1E400`, strings.Repeat("[", 70) + strings.Repeat("]", 70),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Parse(text)
		var want any
		d := stdjson.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		wantErr := stdjson.Unmarshal([]byte(text), new(any))
		if !stdjson.Valid([]byte(text)) {
			if err == nil {
				t.Fatalf("took what encoding/json refuses: %v", wantErr)
			}
			return
		}
		if err != nil {
			switch err.(*Error).Reason {
			case ReasonDuplicate, ReasonUTF8, ReasonSurrogate, ReasonDepth:
				return
			}
			t.Fatalf("refused what encoding/json takes: %v", err)
		}
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := plain(&v); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
		again, err := Parse(string(v.Append(nil)))
		if err != nil || !reflect.DeepEqual(plain(&again), want) {
			t.Fatalf("written and read again: %#v, %v", plain(&again), err)
		}
	})
}

func plain(v *Value) any {
	switch v.Kind {
	case Bool:
		return v.Raw == "true"
	case Number:
		return stdjson.Number(v.Raw)
	case String:
		return v.Text
	case Array:
		out := make([]any, 0, len(v.Items))
		for i := range v.Items {
			out = append(out, plain(&v.Items[i]))
		}
		return out
	case Object:
		out := make(map[string]any, len(v.Items))
		for i := range v.Items {
			out[v.Items[i].Name] = plain(&v.Items[i])
		}
		return out
	}
	return nil
}
