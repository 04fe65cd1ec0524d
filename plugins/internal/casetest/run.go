package casetest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/sdk/go"
)

// Run runs every case of testdata/*.json in the plugin's folder, each with the fields
// that manifest.json asks for and no others. A config that a case has accepted must be
// valid by schema.json: the host looks there first.
func Run(t *testing.T) {
	t.Helper()
	schema := loadSchema(t)
	text, err := os.ReadFile("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := abi.ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	for _, file := range files {
		cases, err := casefile.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			t.Run(filepath.Base(file)+"/"+c.Name, func(t *testing.T) {
				wasmgate.SetNative(c.Host)
				var mask *abi.Mask
				if m, ok := manifest.Hooks[c.Hook]; ok {
					mask = &m
				}
				if err := c.Run(guest{}, mask); err != nil {
					t.Error(err)
				}
				if c.Error == "" && c.Config != nil {
					validate(t, schema, c.Config)
				}
			})
		}
	}
}

func loadSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, config []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(config))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("the plugin takes a config that schema.json refuses: %v", err)
	}
}

// Documented fails for each key of schema.json that README.md does not name, and for each
// whose default in README.md's table does not say what the schema says of its need:
// **required**, and where one of several will do, without which.
func Documented(t *testing.T) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var undocumented func(at string, s *jsonschema.Schema)
	undocumented = func(at string, s *jsonschema.Schema) {
		if s == nil {
			return
		}
		for key, sub := range s.Properties {
			if !bytes.Contains(readme, []byte("`"+at+key+"`")) {
				t.Errorf("README.md does not name `%s%s`", at, key)
			}
			if got, want := defaultIn(string(readme), at+key), need(s, key); !strings.HasPrefix(got, want) || want == "" && strings.Contains(got, "required") {
				t.Errorf("README.md says of `%s%s` that its default is %q, want %q by schema.json", at, key, got, want)
			}
			if sub.Description == "" {
				t.Errorf("schema.json does not describe %s%s", at, key)
			}
			undocumented(at+key+".", sub)
			undocumented(at+key+"[].", sub.Items2020)
		}
	}
	undocumented("", loadSchema(t))
}

// defaultIn is the third cell of the key's row in a table of readme.
func defaultIn(readme, key string) string {
	for line := range strings.Lines(readme) {
		if cells := strings.Split(line, "|"); len(cells) > 4 && strings.TrimSpace(cells[1]) == "`"+key+"`" {
			return strings.TrimSpace(cells[3])
		}
	}
	return ""
}

// need is how README.md says that an object of schema s must have key.
func need(s *jsonschema.Schema, key string) string {
	if slices.Contains(s.Required, key) {
		return "**required**"
	}
	var others []string
	among := false
	for _, one := range slices.Concat(s.AnyOf, s.OneOf) {
		if slices.Contains(one.Required, key) {
			among = true
			continue
		}
		for _, other := range one.Required {
			others = append(others, "`"+other+"`")
		}
	}
	if !among {
		return ""
	}
	return "**required** without " + strings.Join(others, " or ")
}

type guest struct{}

func (guest) Call(hook abi.Hook, record []byte) (result []byte, fuel uint64, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return wasmgate.Call(uint16(hook), record), 0, nil
}
