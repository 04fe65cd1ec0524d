package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func parse(t *testing.T, file, text string) *Document {
	t.Helper()
	d, err := Parse(file, []byte(text), Options{})
	require.NoError(t, err)
	return d
}

// Both parsers give the same tree with the same positions.
func TestParseAgrees(t *testing.T) {
	text := `{"a": [1, -2.5e3, true, null, "x\ty"],
 "b": {"c": {}, "d": []}, "é": "ü", "url": "a/b"}`
	y, j := parse(t, "x.yaml", text), parse(t, "x.json", text)
	require.JSONEq(t, text, string(j.Root().JSON()))
	require.JSONEq(t, string(y.Root().JSON()), string(j.Root().JSON()))
	for _, d := range []*Document{y, j} {
		field := d.Root().Field("b").Field("d")
		require.Equal(t, 2, field.Position().Line)
		require.Equal(t, 22, field.Position().Column)
		require.Equal(t, "b.d", field.Path())
		require.Equal(t, 2, d.Root().Field("url").AtKey().Position().Line)
		require.Equal(t, 37, d.Root().Field("url").AtKey().Position().Column, "columns count characters")
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"a" 1}`:                   `x.json:1:6: got "1", want ":"`,
		`{"a": 01}`:                 `x.json:1:7: got "0", want a JSON value`,
		"{\n\"a\": \"\\q\"}":        `x.json:2:6: got a text with a bad escape, want JSON`,
		"{\"a\": \"\n\"}":           `x.json:1:8: got "\n", want no raw control character in a text`,
		`{"a": 1} 2`:                `x.json:1:10: got more after the end of the value, want nothing`,
		`[1, 2`:                     `x.json:1:6: got the end of the file, want "," or "]"`,
		`"\`:                        `x.json:1:3: got the end of the file, want "\""`,
		`"abc`:                      `x.json:1:5: got the end of the file, want "\""`,
		`{"a": 1, "a": 2}`:          `x.json:1:10: got the key "a" again, want it once (first on line 1)`,
		"\xff":                      `x.json: got bytes that are no UTF-8, want UTF-8`,
		strings.Repeat("[", 200):    `x.json:1:102: got nesting deeper than 100, want a flatter document`,
		strings.Repeat(" ", 17<<20): `x.json: got more than 16777216 bytes, want a smaller document`,
	} {
		d, err := Parse("x.json", []byte(text), Options{})
		if err == nil {
			err = d.Err()
		}
		require.EqualError(t, err, want)
	}
	require.True(t, parse(t, "x.yaml", "\ufeff# nothing\n").Root().IsNull())
	require.True(t, parse(t, "x.json", "").Root().IsNull())
}

func TestReaders(t *testing.T) {
	d := parse(t, "x.yaml", "a: {n: 5, f: 0.5, d: 90s, s: 2KiB, b: true, t: [x, y], w: word}\n")
	a := d.Root().Field("a")
	require.EqualValues(t, 5, a.Field("n").Int(0, 5))
	require.Equal(t, 0.5, a.Field("f").Float(0, 1))
	require.Equal(t, 90*time.Second, a.Field("d").Duration(0, time.Hour))
	require.EqualValues(t, 2048, a.Field("s").Size(0, 4096))
	require.True(t, a.Field("b").Bool())
	require.Equal(t, []string{"x", "y"}, a.Field("t").Texts())
	require.Equal(t, "word", a.Field("w").OneOf("word", "other"))
	require.Zero(t, a.Field("missing").Int(1, 2))
	require.Zero(t, a.Field("missing").Field("deeper").Text())
	require.NoError(t, d.Err())

	a.Field("n").Int(6, 7)
	a.Field("n").Text()
	a.Field("f").Int(0, 1)
	a.Field("w").OneOf("a", "b")
	a.Field("t").Bool()
	a.Only("n", "f", "d", "s", "b", "t", "words", "wrd")
	require.EqualError(t, d.Err(), `x.yaml:1:8: a.n: got 5, want a whole number from 6 to 7
x.yaml:1:8: a.n: got 5, want a text
x.yaml:1:14: a.f: got 0.5, want a whole number from 0 to 1
x.yaml:1:48: a.t: got a list, want true or false
x.yaml:1:56: a.w: got an unknown key, want n, f, d, s, b, t, words or wrd
x.yaml:1:59: a.w: got "word", want "a" or "b"`)
	var problems Errors
	require.True(t, errors.As(d.Err(), &problems))
	data, err := json.Marshal(problems[0])
	require.NoError(t, err)
	require.JSONEq(t, `{"file":"x.yaml","line":1,"column":8,"path":"a.n","got":"5","want":"a whole number from 6 to 7"}`, string(data))
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), []byte("of a file\n"), 0o600))
	r := &Resolver{Redactor: new(Redactor), LookupEnv: func(name string) (string, bool) {
		return "of-" + name + " ${env:X}", name != "MISSING"
	}}
	for text, want := range map[string]string{
		"plain":                  "plain",
		"a${env:X}b${env:Y}":     "aof-X ${env:X}bof-Y ${env:X}", // not resolved again
		"${file:key}|":           "of a file|",
		"$${env:X} ${env:Z}":     "${env:X} of-Z ${env:X}",
		"${stageVariables.x} ${": "${stageVariables.x} ${",
		"${AWS::Region} ${a-b:}": "${AWS::Region} ${a-b:}",
	} {
		got, err := r.Resolve(text, dir)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for text, want := range map[string]string{
		"${env:MISSING}":  `${env:MISSING}, and the environment has no "MISSING"`,
		"${vault:x}":      "${vault:x}, an unknown kind of reference",
		"${env:X":         `the reference "${env:X" without a closing brace`,
		"${file:missing}": "${file:missing}: open " + filepath.Join(dir, "missing") + ": no such file or directory",
	} {
		_, err := r.Resolve(text, dir)
		require.EqualError(t, err, want)
	}
}

// Short values stand in other words by chance; alone, as in errors of the file system, they
// are taken out.
func TestRedactorShort(t *testing.T) {
	r := new(Redactor)
	for _, value := range []string{"hunter2", "key", "true", "no"} {
		r.Add(value)
	}
	require.Equal(t, `open [redacted]: no such file, conf/[redacted]/x.yaml, "[redacted]", [redacted]`,
		r.Scrub(`open hunter2: no such file, conf/hunter2/x.yaml, "hunter2", hunter2`))
	plain := `want true or "true": monkey, keys, key words; no: hunter22`
	require.Equal(t, plain, r.Scrub(plain))
}

// The file system shows a path as it was opened: joined and cleaned.
func TestRedactorKnowsPaths(t *testing.T) {
	r := &Resolver{Redactor: new(Redactor), LookupEnv: func(string) (string, bool) { return "..//hunter2", true }}
	d, err := Parse("conf/x.yaml", []byte("dir: ${env:X}"), Options{Resolver: r})
	require.NoError(t, err)
	require.Equal(t, "hunter2", d.Root().Field("dir").File())
	require.Equal(t, "open [redacted]: no such file", r.Redactor.Scrub("open hunter2: no such file"))
}

func TestRedactor(t *testing.T) {
	r := new(Redactor)
	require.Equal(t, "the text", r.Scrub("the text"))
	for _, secret := range []string{"short", "long enough", "long enough and more", "with \"quotes\"\nand lines"} {
		r.Add(secret)
	}
	require.Equal(t, `short [redacted] [redacted] [redacted] {"a":"[redacted]"}`,
		r.Scrub("short long enough long enough and more with \"quotes\"\nand lines {\"a\":\"with \\\"quotes\\\"\\nand lines\"}"))
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 100 {
				r.Add(strings.Repeat("x", 8+i))
				r.Scrub("xxxxxxxxxxxx")
			}
		})
	}
	group.Wait()
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "5": 5, "7B": 7, "64KiB": 64 << 10, "10MiB": 10 << 20, "1GiB": 1 << 30, "2TiB": 2 << 40} {
		got, err := Size(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "KiB", "1KB", "1 KiB", "-1", "1.5MiB", "9999999999TiB", "99999999999999999999"} {
		_, err := Size(text)
		require.Error(t, err, text)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"listen", "tls", "plugins", "timeouts"}
	for word, want := range map[string]string{"lisen": `"listen"`, "TLS": `"tls"`, "pluigns": `"plugins"`, "zebra": "listen, tls, plugins or timeouts"} {
		require.Equal(t, want, Suggest(word, known))
	}
}

// Our JSON parser takes what encoding/json takes, and reads the same.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-0.5e+3,true,null,"x\u00e9\ud83d\ude00"]}`, `[`, `"\`, `{"a":1,}`, `1e999`, "\t{ } \n", `[1,2]]`, `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		trimmed := bytes.TrimPrefix(data, []byte("\ufeff"))
		if len(bytes.TrimSpace(trimmed)) == 0 {
			return
		}
		d, err := Parse("x.json", data, Options{})
		if err != nil {
			if json.Valid(trimmed) && !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "nesting") {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		if !json.Valid(trimmed) {
			t.Fatalf("%q: taken", data)
		}
		got := d.Root().JSON()
		var number any
		if d.Err() != nil || json.Unmarshal(trimmed, &number) != nil { // a duplicate key, a reference, a number beyond float64
			return
		}
		require.JSONEq(t, string(trimmed), string(got))
	})
}
