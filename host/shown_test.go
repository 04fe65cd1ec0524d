package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host"
)

// What a reference gave is not printed, whichever part of the host fails on it.
func TestReferencesAreNeverShown(t *testing.T) {
	for _, secret := range []string{"hunter2secret", "hunter2", "../hunter2/./key", "/hunter2//secret"} {
		for name, c := range map[string]struct {
			content files
			set     map[string]string
		}{
			"apis.dir":     {set: map[string]string{"apis.dir": "${env:SEC}"}},
			"ca_file":      {set: map[string]string{"upstreams.ca_file": "${env:SEC}"}},
			"plugins.dir":  {set: map[string]string{"plugins.dir": "/dev/null/${env:SEC}"}},
			"certificates": {set: map[string]string{"tls.mode": "files", "tls.certificates": `[{cert: "${env:SEC}", key: "${env:SEC}"}]`}},
			"data_dir":     {set: map[string]string{"data_dir": "/dev/null/${env:SEC}"}},
			"access log":   {set: map[string]string{"log.access.file": "/dev/null/${env:SEC}"}},
			"policy": {content: files{"apis/a.yaml": `
openapi: 3.0.3
info: {title: A, version: "1"}
x-wasmgate-policies: [{plugin: ip-rules, config: {allow: ["${env:SEC}"]}}]
paths:
  /a: {get: {x-amazon-apigateway-integration: {type: mock}, responses: {"200": {description: A}}}}
`}},
		} {
			t.Run(name, func(t *testing.T) {
				if c.content == nil {
					c.content = files{}
				}
				options := prepare(t, t.TempDir(), c.content)
				var log bytes.Buffer
				options.Stderr = &log
				var err error
				options.Config, err = host.Load(host.LoadOptions{File: options.Config.File, Set: c.set, Environ: []string{"SEC=" + secret}})
				require.NoError(t, err)

				h, err := host.New(options)
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // one that serves is a failure
				defer cancel()
				err = h.Run(ctx)
				require.Error(t, err)
				all := err.Error() + log.String()
				if problems, ok := errors.AsType[*host.ConfigErrors](err); ok {
					all += string(problems.JSON())
				}
				if _, err := host.Validate(context.Background(), options); err != nil {
					all += err.Error()
				}
				require.NotContains(t, all, "hunter2", all)
			})
		}
	}
}

// A reload may resolve what was not there at the start; status tells its error, too.
func TestReloadShowsNoReference(t *testing.T) {
	dir := t.TempDir()
	g := start(t, files{})
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("hunter2secret\n"), 0o600))
	put(t, g.dir, files{"wasmgate.yaml": process(`upstreams: {ca_file: "${file:` + secret + `}"}`)})
	err := g.Reload(context.Background())
	require.ErrorContains(t, err, "read upstreams.ca_file: open [redacted]: no such file")
	require.NotContains(t, g.log.String(), "hunter2")
	require.Contains(t, g.log.String(), "[redacted]")
}

// A folder that is not there is a problem like every other, and hides none.
func TestMissingFolder(t *testing.T) {
	options := prepare(t, t.TempDir(), files{"plugins/bad.wasm": "no module", "wasmgate.yaml": `apis: {dir: nowhere}`})
	_, err := host.Validate(context.Background(), options)
	problems, ok := errors.AsType[*host.ConfigErrors](err)
	require.True(t, ok, "%v", err)
	var list []struct {
		File, Path, Got, Want string
		Line, Column          int
	}
	require.NoError(t, json.Unmarshal(problems.JSON(), &list))
	require.Len(t, list, 2, err)
	at := list[1]
	require.Equal(t, options.Config.File, at.File)
	require.Equal(t, "apis.dir", at.Path)
	require.Equal(t, []int{1, 13}, []int{at.Line, at.Column})
	require.Equal(t, `"nowhere" (no such file or directory)`, at.Got)
	require.Equal(t, "a folder of API documents", at.Want)
	require.Contains(t, list[0].File, "bad.wasm")
}
