package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wasmgate/wasmgate/host/internal/document"
)

var update = flag.Bool("update", false, "write what was got into the golden files")

// golden is a testdata file: wasmgate.yaml, env and set are input; want is the problems,
// or the values that are no defaults; schema is "accepts" or "refuses".
type golden struct {
	archive *txtar.Archive
	path    string
}

func goldens(t *testing.T) map[string]golden {
	paths, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	all := map[string]golden{}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		require.NoError(t, err)
		all[strings.TrimSuffix(filepath.Base(path), ".txtar")] = golden{archive, path}
	}
	return all
}

func (g golden) file(name string) string {
	for _, f := range g.archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// expect compares with a file of the golden, or writes it with -update.
func (g golden) expect(t *testing.T, name, got string) {
	t.Helper()
	if !*update {
		require.Equal(t, g.file(name), got)
		return
	}
	i := slices.IndexFunc(g.archive.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		g.archive.Files = append(g.archive.Files, txtar.File{Name: name})
		i = len(g.archive.Files) - 1
	}
	g.archive.Files[i].Data = []byte(got)
	require.NoError(t, os.WriteFile(g.path, txtar.Format(g.archive), 0o644))
}

// flat is the values of c by key.
func flat(t *testing.T, c *Config) map[string]string {
	plain := *c
	plain.Digest = [32]byte{} // of the file, wherever the test writes it
	plain.Resolver = nil
	//lint:ignore SA1026 the Resolver, whose functions have no JSON, is nil
	data, err := json.Marshal(plain)
	require.NoError(t, err)
	var tree any
	require.NoError(t, json.Unmarshal(data, &tree))
	values := map[string]string{}
	var walk func(string, any)
	walk = func(path string, v any) {
		if m, ok := v.(map[string]any); ok {
			for k, each := range m {
				walk(strings.TrimPrefix(path+"."+k, "."), each)
			}
			return
		}
		values[path] = fmt.Sprint(v)
	}
	walk("", tree)
	return values
}

func TestLoad(t *testing.T) {
	for name, g := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range g.archive.Files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600))
			}
			set, err := Set(strings.Split(strings.TrimSuffix("x=\n"+g.file("set"), "\n"), "\n"))
			require.NoError(t, err)
			delete(set, "x")
			environ := strings.Split(g.file("env"), "\n")
			got := ""
			c, err := Load(Options{File: filepath.Join(dir, "wasmgate.yaml"), Environ: environ, Set: set})
			if err != nil {
				var problems document.Errors
				require.True(t, errors.As(err, &problems), "%v", err)
				got = err.Error() + "\n"
			} else {
				defaults, err := Load(Options{File: "", Environ: []string{}})
				require.NoError(t, err)
				initial, values := flat(t, defaults), flat(t, c)
				for _, key := range slices.Sorted(maps.Keys(values)) {
					if values[key] != initial[key] && filepath.Join(dir, initial[key]) != values[key] && key != "File" {
						got += key + " = " + values[key] + "\n"
					}
				}
			}
			got = strings.ReplaceAll(got, dir+"/", "")
			for _, line := range strings.Split(g.file("never"), "\n") {
				require.False(t, line != "" && strings.Contains(got, line), "shows %q:\n%s", line, got)
			}
			g.expect(t, "want", got)
		})
	}
}

func TestSchema(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	require.NoError(t, compiler.AddResource("wasmgate.json", document))
	schema, err := compiler.Compile("wasmgate.json")
	require.NoError(t, err)
	for name, g := range goldens(t) {
		if g.file("schema") == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var tree any
			require.NoError(t, yaml.Unmarshal([]byte(g.file("wasmgate.yaml")), &tree))
			data, err := json.Marshal(tree)
			require.NoError(t, err)
			instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
			require.NoError(t, err)
			got := "accepts\n"
			if err := schema.Validate(instance); err != nil {
				got = "refuses\n"
			}
			g.expect(t, "schema", got)
		})
	}
}

// Each key's documentation must be complete, and its default must satisfy its own schema.
func TestTable(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	require.NoError(t, err)
	for _, e := range new(Config).table() {
		require.True(t, strings.HasSuffix(e.doc, "."), e.key)
		require.Equal(t, strings.ToLower(e.key), e.key)
		compiler := jsonschema.NewCompiler()
		require.NoError(t, compiler.AddResource("wasmgate.json", document))
		at := "wasmgate.json#/properties/" + strings.ReplaceAll(e.key, ".", "/properties/")
		schema, err := compiler.Compile(at)
		require.NoError(t, err, e.key)
		node := document.(map[string]any)
		for _, step := range strings.Split(e.key, ".") {
			node = node["properties"].(map[string]any)[step].(map[string]any)
		}
		require.NoError(t, schema.Validate(node["default"]), e.key)
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	c, err := Load(Options{Environ: []string{"PASSWORD=hunter2-hunter2"}, Set: map[string]string{"secrets": `{db: "${env:PASSWORD}"}`}})
	require.NoError(t, err)
	require.Equal(t, "hunter2-hunter2", c.Secrets["db"].Reveal())
	dump, err := json.Marshal(c.Secrets)
	require.NoError(t, err)
	all := fmt.Sprintf("%v %+v %#v %s %s", c.Secrets, c.Secrets, c.Secrets, c.Secrets["db"], dump)
	require.NotContains(t, all, "hunter2")
	require.Equal(t, "x [redacted] y", c.Resolver.Redactor.Scrub("x hunter2-hunter2 y"))
}

// A running gateway must be found whatever else is wrong.
func TestLoadAdmin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wasmgate.yaml")
	load := func(text string, set map[string]string, environ ...string) (string, error) {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		c, ignored, err := LoadAdmin(Options{File: file, Set: set, Environ: append(environ, "WASMGATE_LOG__LEVL=x")})
		got := fmt.Sprint(ignored != nil)
		if err == nil {
			dir, err := filepath.Rel(filepath.Dir(file), c.DataDir)
			require.NoError(t, err)
			got += " " + c.Listen.Admin + " " + dir
		}
		return got, err
	}
	const broken = "listen: {htps: 1, admin: \"h:1\"}\ntls: ${env:NO}\nsecrets: {a: \"${env:NO}\"}\napis: 5\ndata_dir: state\n"
	for _, c := range []struct {
		text    string
		set     map[string]string
		environ string
		want    string
	}{
		{"", nil, "", "false 127.0.0.1:9443 data"},
		{broken, nil, "", "false h:1 state"},
		{broken, nil, "WASMGATE_LISTEN__ADMIN=h:2", "false h:2 state"},
		{broken, map[string]string{"listen.admin": "h:3"}, "WASMGATE_LISTEN__ADMIN=h:2", "false h:3 state"},
		{"listen: [", nil, "", "true 127.0.0.1:9443 data"},
		{"listen: [", nil, "WASMGATE_LISTEN__ADMIN=h:2", "true h:2 data"},
	} {
		got, err := load(c.text, c.set, c.environ)
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got, c.text)
	}
	for want, c := range map[string]Options{
		"wasmgate.yaml:1:11: data_dir: got ${env:NO}, and":  {File: "data_dir: ${env:NO}"},
		"--set listen.admin: listen.admin: got \"x\", want": {Set: map[string]string{"listen.admin": "x"}},
		"--set listen.admn: got an unknown key":             {Set: map[string]string{"listen.admn": "h:1"}},
		"WASMGATE_DATA_DIR:1:1: got":                        {Environ: []string{"WASMGATE_DATA_DIR=[oops"}},
	} {
		_, err := load(c.File, c.Set, c.Environ...)
		require.ErrorContains(t, err, want)
		require.IsType(t, document.Errors{}, err)
	}
	c, ignored, err := LoadAdmin(Options{File: file + ".missing", Environ: []string{}})
	require.NoError(t, err)
	require.ErrorIs(t, ignored, fs.ErrNotExist)
	require.Equal(t, "127.0.0.1:9443", c.Listen.Admin)
}

// Problems that show only later stand where the key stands, with the reference as written.
func TestProblem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "w.yaml")
	require.NoError(t, os.WriteFile(file, []byte("data_dir: x\napis: {dir: \"${env:SEC}\"}\n"), 0o600))
	load := func(set map[string]string) *Config {
		c, err := Load(Options{File: file, Set: set, Environ: []string{"SEC=hunter2secret"}})
		require.NoError(t, err)
		return c
	}
	require.Equal(t, file+`:2:13: apis.dir: got "${env:SEC}" (gone [redacted]), want one`,
		load(nil).Problem("apis.dir", "gone hunter2secret", "one").String())
	require.Equal(t, `--set apis.dir: apis.dir: got "x" (gone), want one`,
		load(map[string]string{"apis.dir": "x"}).Problem("apis.dir", "gone", "one").String())
	require.Equal(t, file+`: plugins.dir: got "plugins", want one`, load(nil).Problem("plugins.dir", "", "one").String())

	// What the old one resolved is not printed by the new one either.
	c := load(nil)
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	again, err := c.Reload()
	require.NoError(t, err)
	require.Equal(t, "open [redacted]", again.Scrub("open hunter2secret"))
}

func TestSet(t *testing.T) {
	_, err := Set([]string{"novalue"})
	require.EqualError(t, err, `read --set: got "novalue", want key=value`)
	set, err := Set([]string{"a.b=c=d"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a.b": "c=d"}, set)
}
