package config

import (
	"strings"
	"testing"
)

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		``:                                 "config.req: missing, want string",
		`{"req":"x"}`:                      "",
		`[]`:                               "config: got array, want object; config.req: missing, want string",
		`{"req":""}`:                       "config.req: empty",
		`{"req":1}`:                        "config.req: got number, want string",
		`{"req":"x","reqq":1}`:             "config.reqq: unknown key",
		`{"req":"x","list":["a",2,""]}`:    "config.list[1]: got number, want string; config.list[2]: empty",
		`{"req":"x","int":1.5}`:            "config.int: got 1.5, want a whole number",
		`{"req":"x","int":3601}`:           "config.int: got 3601, want 0 to 3600",
		`{"req":"x","int":1e999}`:          "config.int: got 1e999, want 0 to 3600",
		`{"req":"x","one":"c"}`:            `config.one: got "c", want one of a, b`,
		`{"req":"x","bool":"true"}`:        "config.bool: got string, want boolean",
		`{"req":"x","sub":{"y":1}}`:        "config.sub.y: unknown key",
		`{"req":"x","subs":[{},{"z":1}]}`:  "config.subs[1].z: unknown key",
		`{"req":"x","pairs":{"a":null}}`:   "config.pairs.a: got null, want string",
		`{"req":"x","req":"y"}`:            "config: json at byte 11: duplicate name; config.req: missing, want string",
		`{"req":"x","each":{"a":{"b":1}}}`: "config.each.a.b: unknown key",
		`{"req":"x","each":{"a":1}}`:       "config.each.a: got number, want object",
	} {
		o := Parse("config", text)
		o.Required("req")
		o.Strings("list")
		o.Int("int", 0, 0, 3600)
		o.OneOf("one", "a", "b")
		o.Bool("bool")
		o.Object("sub")
		o.Objects("subs")
		o.Pairs("pairs")
		o.Object("each").Each(func(string, *Object) bool { return true })
		got := ""
		if err := o.Err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestValues(t *testing.T) {
	o := Parse("config", `{"s":"a","l":["x","y"],"i":7,"f":0.5,"b":true,"p":{"k":"v"}}`)
	if s, i, f := o.String("s", "z"), o.Int("i", 1, 0, 9), o.Float("f", 1, 0, 1); s != "a" || i != 7 || f != 0.5 {
		t.Errorf("got %q, %d, %v", s, i, f)
	}
	if s, i := o.String("none", "z"), o.Int("none", 1, 0, 9); s != "z" || i != 1 || o.Has("none") || !o.Has("s") {
		t.Errorf("absent: got %q, %d", s, i)
	}
	if l := strings.Join(o.Strings("l"), " "); l != "x y" || !o.Bool("b") {
		t.Errorf("got %q", l)
	}
	if p := o.Pairs("p"); len(p) != 1 || p[0] != (Pair{"k", "v"}) {
		t.Errorf("got %v", p)
	}
	if err := o.Err(); err != nil {
		t.Error(err)
	}
}
