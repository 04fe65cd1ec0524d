package listen

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// run runs a client and returns what it prints.
func run(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %q: %s", name, args, out)
	return string(out)
}

func TestH2load(t *testing.T) {
	g := start(t, answer, nil)
	url := "https://" + g.addr + "/v1/pets/42?limit=10"
	for name, args := range map[string][]string{
		"one at a time":        {"-n", "500", "-c", "2", "-m", "1"},
		"many at once":         {"-n", "5000", "-c", "4", "-m", "100"},
		"more than there are":  {"-n", "5000", "-c", "4", "-m", "1000"},
		"small windows":        {"-n", "500", "-c", "2", "-m", "10", "-w", "1", "-W", "1"},
		"no compression table": {"-n", "500", "-c", "2", "-m", "10", "--header-table-size=0"},
	} {
		t.Run(name, func(t *testing.T) {
			out := run(t, "", "h2load", append(args, url)...)
			require.Contains(t, out, args[1]+" succeeded, 0 failed, 0 errored", out)
		})
	}
}

func TestNghttp(t *testing.T) {
	g := start(t, handlerFunc(echo), nil)
	url := "https://" + g.addr
	out := run(t, "", "nghttp", "-y", "--no-dep", "-H", "cookie: a=b", "-H", "cookie: c=d", url+"/one?x=y", url+"/two")
	require.Contains(t, out, "/one?x=y\n")
	require.Contains(t, out, "/two\n")
	require.Contains(t, out, "cookie: a=b; c=d\n")
	upload := strings.Repeat("0123456789", 200_000)
	out = run(t, upload, "nghttp", "-y", "-d", "-", "--trailer", "x-sum: 1", "-w", "10", "-W", "10", url+"/up")
	require.Contains(t, out, upload+"\nx-sum: 1")
	require.Contains(t, run(t, upload[:1000], "nghttp", "-y", "-v", "--expect-continue", "-d", "-", url+"/up"), ":status: 100")
	require.Empty(t, g.reasons())
}

func TestNghttpAnswers(t *testing.T) {
	large := strings.Repeat("0123456789", 300_000)
	g := start(t, handlerFunc(func(x *exchange.Exchange) {
		x.Response.Status = 200
		x.Response.SetBody([]byte(large)[:len(x.Target)*1000])
	}), nil)
	for bits, path := range map[string]string{"1": "/", "10": "/" + strings.Repeat("x", 99), "16": "/" + strings.Repeat("x", 2999), "30": "/" + strings.Repeat("x", 2999)} {
		out := run(t, "", "nghttp", "-y", "-w", bits, "-W", bits, "https://"+g.addr+path)
		require.True(t, out == large[:len(path)*1000], "windows of 2^%s-1 bytes: got %d bytes", bits, len(out))
	}
}
