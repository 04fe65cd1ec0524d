package host_test

import (
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestH2spec has h2spec, the conformance suite of HTTP/2, ask a running gateway all that it
// knows: over TLS, and in its strict mode.
func TestH2spec(t *testing.T) {
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			w.Write([]byte("an answer of some bytes, of which h2spec wants more than five"))
		}
	})
	g := start(t, files{"wasmgate.yaml": quiet, "apis/c.yaml": document("x-wasmgate-api: {id: c, domains: [127.0.0.1]}",
		`/: {x-amazon-apigateway-any-method: {`+proxy(up.URL+"/")+`}}`)})
	host, port, err := net.SplitHostPort(g.https)
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), cached(t, "bin", "h2spec"), "-t", "-k", "-S", "-h", host, "-p", port).CombinedOutput()
	require.NoError(t, err, "%s", out)
	total := regexp.MustCompile(`(\d+) tests, (\d+) passed, 0 skipped, 0 failed`).FindStringSubmatch(string(out))
	require.NotNil(t, total, "%s", out)
	require.Equal(t, total[1], total[2], "%s", out)
	n, err := strconv.Atoi(total[1])
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, 146, "the last release that is a Go module has 146 tests, the newest 147")
	t.Logf("h2spec -t -k -S: %s", total[0])
}
