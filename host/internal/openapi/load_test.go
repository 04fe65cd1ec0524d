package openapi

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/document"
)

var update = flag.Bool("update", false, "write what was got into the golden files")

// A golden file is a directory of documents, env for references, want and never.
func TestLoadDir(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			require.NoError(t, err)
			dir := t.TempDir()
			files := map[string]string{}
			for _, f := range archive.Files {
				files[f.Name] = string(f.Data)
				require.NoError(t, os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600))
			}
			set, err := LoadDir(dir, Options{Resolver: resolver(files["env"])})
			var got string
			if err != nil {
				var problems document.Errors
				require.True(t, errors.As(err, &problems), "%v", err)
				got = err.Error() + "\n"
			} else {
				for _, w := range set.Warnings {
					got += "warning: " + w.String() + "\n"
				}
				set.Warnings = nil
				data, err := json.MarshalIndent(set, "", "  ")
				require.NoError(t, err)
				got += compact(string(data)) + "\n"
			}
			got = strings.ReplaceAll(got, dir+"/", "")
			for _, line := range strings.Fields(files["never"]) {
				require.NotContains(t, got, line)
			}
			if !*update {
				require.Equal(t, files["want"], got)
				return
			}
			archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
			archive.Files = append(archive.Files, txtar.File{Name: "want", Data: []byte(got)})
			require.NoError(t, os.WriteFile(path, txtar.Format(archive), 0o644))
		})
	}
}

// compact drops the lines of the dump that say nothing, and shows hashes shortly.
func compact(dump string) string {
	var lines []string
	for line := range strings.SplitSeq(dump, "\n") {
		if !strings.HasSuffix(line, ": null,") && !strings.HasSuffix(line, `: "",`) && !strings.HasSuffix(line, `: 0,`) && !strings.HasSuffix(line, `: {},`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func resolver(env string) *document.Resolver {
	return &document.Resolver{Redactor: new(document.Redactor), LookupEnv: func(name string) (string, bool) {
		for pair := range strings.SplitSeq(env, "\n") {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}}
}

func TestLoadDirOfNothing(t *testing.T) {
	set, err := LoadDir(t.TempDir(), Options{})
	require.NoError(t, err)
	require.Empty(t, set.APIs)
	_, err = LoadDir(filepath.Join(t.TempDir(), "missing"), Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// large is a document of n routes.
func large(n int) []byte {
	var b strings.Builder
	b.WriteString("openapi: 3.0.3\ninfo: {title: x, version: '1'}\npaths:\n")
	for i := range n {
		fmt.Fprintf(&b, `  /service%d/things%d/{id}:
    get:
      operationId: get%d
      parameters:
        - {name: id, in: path, required: true, schema: {type: string}}
      responses:
        '200': {description: ok}
      x-amazon-apigateway-integration:
        type: http_proxy
        httpMethod: GET
        uri: http://upstream.example:8080/service%d/things/{id}
`, i/100, i, i, i)
	}
	return []byte(b.String())
}

func BenchmarkLoad10000(b *testing.B) {
	data := large(10_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		api, _, err := Load("x.yaml", data, Options{})
		if err != nil || len(api.Routes) != 10_000 {
			b.Fatal(err)
		}
	}
}

// Time must grow with the size only: objects are not searched for every key in them.
func TestLoadIsLinear(t *testing.T) {
	start := time.Now()
	_, _, err := Load("x.yaml", large(500), Options{})
	require.NoError(t, err)
	small := time.Since(start)
	start = time.Now()
	_, _, err = Load("x.yaml", large(4_000), Options{})
	require.NoError(t, err)
	require.Less(t, time.Since(start), 40*small+time.Second)
}

func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.txtar")
	require.NoError(f, err)
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		require.NoError(f, err)
		for _, file := range archive.Files {
			if ext := filepath.Ext(file.Name); ext != "" {
				f.Add(ext == ".json", file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, isJSON bool, data []byte) {
		name := "api.yaml"
		if isJSON {
			name = "api.json"
		}
		const secret = "the-value-that-is-never-shown"
		api, _, err := Load(name, data, Options{MaxBytes: 64 << 10, Resolver: resolver("X=" + secret)})
		if (api == nil) == (err == nil) {
			t.Fatal("either an API or an error")
		}
		if err == nil {
			again, _, err := Load(name, data, Options{Resolver: resolver("X=" + secret)})
			require.NoError(t, err)
			require.Equal(t, api, again)
			return
		}
		var problems document.Errors
		require.True(t, errors.As(err, &problems))
		require.NotContains(t, err.Error(), secret)
		for _, p := range problems {
			require.NotEmpty(t, p.Got, p.String())
		}
	})
}
