package template

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Template{
		"":                            nil,
		"plain":                       {{Literal: "plain"}},
		"a ${header.X-Id} b":          {{Literal: "a "}, {Selector: "header.x-id"}, {Literal: " b"}},
		"${source_ip}${path_param.A}": {{Selector: "source_ip"}, {Selector: "path_param.A"}},
		"$5 $${path} $$ $":            {{Literal: "$5 ${path} $$ $"}},
		"${status}":                   {{Selector: "status"}},
		"${context.claims.a.b}":       {{Selector: "context.claims.a.b"}},
	} {
		got, fault := Parse(text, Response)
		if fault != "" || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %s", text, got, fault)
		}
	}
	for text, want := range map[string]string{
		"${":                          "${ without }",
		"${}":                         `unknown selector ""`,
		"${hedder.x}":                 `unknown selector "hedder.x"`,
		"${header}":                   `selector "header" wants a name: header.NAME`,
		"${header.}":                  `selector "header." wants a name: header.NAME`,
		"${source_ip.x}":              `selector "source_ip.x" takes no name`,
		"${status}":                   `selector "status" is known only in the response`,
		"${header.a b}":               `header name "a b" has a byte that may not stand in one`,
		"${${path}}":                  `unknown selector "${path"`,
		strings.Repeat("${path}", 65): "more than 64 parts",
	} {
		if _, fault := Parse(text, Request); fault != want {
			t.Errorf("%q: got %s, want %s", text, fault, want)
		}
	}
	if text, ok := Literal("x").Constant(); !ok || text != "x" {
		t.Errorf("got %q", text)
	}
	if _, ok := Select("path").Constant(); ok {
		t.Error("a selector is constant")
	}
}

// The selectors here are the ABI's.
func TestSelectorsAreTheABIs(t *testing.T) {
	data, err := os.ReadFile("../../../abi/v1/abi.json")
	if err != nil {
		t.Fatal(err)
	}
	var contract struct {
		Limits    map[string]int
		Selectors []struct {
			Name string
			Arg  bool
		}
	}
	if err := json.Unmarshal(data, &contract); err != nil {
		t.Fatal(err)
	}
	if contract.Limits["max_value_parts"] != maxParts || contract.Limits["max_selector_bytes"] != maxSelector {
		t.Errorf("limits: %v", contract.Limits)
	}
	for _, s := range contract.Selectors {
		if takes, known := takesArgument(s.Name); !known || takes != s.Arg {
			t.Errorf("%s: known %v, takes an argument %v, want %v", s.Name, known, takes, s.Arg)
		}
	}
}
