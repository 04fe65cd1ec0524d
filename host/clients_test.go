package host_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tool runs a program of others against the gateway, with input, and gives what it wrote.
func tool(t *testing.T, input, name string, args ...string) (output string, err error) {
	t.Helper()
	path, err := exec.LookPath(name)
	require.NoError(t, err, "%s is missing: run `make setup`", name)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

func (s *scene) curl(t *testing.T) {
	url := s.url
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	file := filepath.Join(t.TempDir(), "upload")
	require.NoError(t, os.WriteFile(file, big, 0o600))
	sum := fmt.Sprintf("%d %x", len(big), sha256.Sum256(big))
	for version, shown := range map[string]string{"--http1.1": "1.1", "--http2": "2"} {
		for name, k := range map[string]struct {
			args []string
			want string
		}{
			"get":             {[]string{url + "/echo"}, "GET 0"},
			"post":            {[]string{"--data", "hello", url + "/echo"}, "POST 5"},
			"upload":          {[]string{"--upload-file", file, url + "/echo"}, "PUT " + sum},
			"chunked upload":  {[]string{"--request", "POST", "--header", "Transfer-Encoding: chunked", "--data-binary", "@" + file, url + "/echo"}, "POST " + sum},
			"from a pipe":     {[]string{"--upload-file", "-", url + "/echo"}, "PUT 5 "},
			"expect continue": {[]string{"--header", "Expect: 100-continue", "--expect100-timeout", "20", "--data-binary", "@" + file, url + "/echo"}, "POST " + sum},
			"download":        {[]string{url + "/big"}, string(big)},
			"head":            {[]string{"--head", url + "/big"}, fmt.Sprint("content-length: ", len(big))},
			"two in a row":    {[]string{url + "/echo", url + "/echo"}, "GET 0"},
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				args := append([]string{"--silent", "--show-error", "--max-time", "60", version, "--cacert", s.ca,
					"--write-out", " (%{http_code} %{http_version} %{num_connects})"}, k.args...)
				output, err := tool(t, "hello", "curl", args...)
				require.NoError(t, err, output)
				assert.True(t, strings.Contains(output, k.want), "%.300s", output)
				assert.Contains(t, output, "(200 "+shown+" 1)")
				if name == "two in a row" {
					assert.Contains(t, output, "(200 "+shown+" 0)", "the second over the same connection")
				}
			})
		}
	}
	output, err := tool(t, "", "curl", "--silent", "--show-error", "--max-time", "60", url+"/echo")
	require.Error(t, err, "without the gateway's authority")
	assert.Contains(t, output, "certificate")
	_, plain, _ := s.Addresses()
	output, err = tool(t, "", "curl", "--silent", "--max-time", "60", "--location", "--cacert", s.ca, "http://"+plain+"/echo")
	require.NoError(t, err)
	assert.Contains(t, output, "GET 0", "the plain listener redirects")
}

// load has each tool send as fast as it can for a moment: no error of any kind.
func (s *scene) load(t *testing.T) {
	failed := s.metric("wasmgate_requests_total", `code_class="5xx"`)
	for _, path := range []string{"/echo", "/big"} {
		output, err := tool(t, "", "wrk", "--threads", "1", "--connections", "16", "--duration", "1s", "--timeout", "20s", s.url+path)
		require.NoError(t, err, output)
		assert.Contains(t, output, "requests in")
		assert.NotContains(t, output, "Socket errors")
		assert.NotContains(t, output, "Non-2xx")
	}
	for path, n := range map[string]string{"/echo": "2000", "/big": "200"} {
		output, err := tool(t, "", "h2load", "--requests", n, "--clients", "4", "--max-concurrent-streams", "20", s.url+path)
		require.NoError(t, err, output)
		assert.Contains(t, output, "Application protocol: h2")
		assert.Contains(t, output, fmt.Sprintf("requests: %s total, %[1]s started, %[1]s done, %[1]s succeeded, 0 failed, 0 errored, 0 timeout", n))
	}
	assert.Equal(t, failed, s.metric("wasmgate_requests_total", `code_class="5xx"`))
}

func TestOpenSSL(t *testing.T) {
	s := startScene(t)
	_, port, err := net.SplitHostPort(s.https)
	require.NoError(t, err)
	connect := []string{"s_client", "-connect", "127.0.0.1:" + port, "-servername", "localhost", "-verify_return_error", "-CAfile", s.ca}
	for name, k := range map[string]struct {
		args []string
		ok   bool
		want []string
	}{
		"TLS 1.0":            {[]string{"-tls1", "-cipher", "DEFAULT@SECLEVEL=0"}, false, []string{"protocol version"}},
		"TLS 1.1":            {[]string{"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"}, false, []string{"protocol version"}},
		"TLS 1.2":            {[]string{"-tls1_2"}, true, []string{"TLSv1.2", "Verification: OK", "No ALPN negotiated"}},
		"TLS 1.3":            {[]string{"-tls1_3"}, true, []string{"TLSv1.3", "Verification: OK"}},
		"CBC":                {[]string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA"}, false, []string{"handshake failure"}},
		"ALPN h2":            {[]string{"-alpn", "http/1.1,h2"}, true, []string{"ALPN protocol: h2"}},
		"ALPN http/1.1":      {[]string{"-alpn", "http/1.1"}, true, []string{"ALPN protocol: http/1.1"}},
		"ALPN of others":     {[]string{"-alpn", "smtp"}, false, []string{"no application protocol"}},
		"name of a stranger": {[]string{"-servername", "stranger.example"}, false, []string{"unrecognized name"}},
	} {
		t.Run(name, func(t *testing.T) {
			output, err := tool(t, "", "openssl", append(connect, k.args...)...)
			require.Equal(t, k.ok, err == nil, output)
			for _, want := range k.want {
				assert.Contains(t, output, want)
			}
		})
	}
}
