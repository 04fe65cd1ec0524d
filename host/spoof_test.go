package host_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ours are the fields that the gateway and its policies set for the upstream, and the
// value that a request of this test has there.
var ours = map[string]string{
	"x-forwarded-for":     "127.0.0.1",
	"x-forwarded-proto":   "https",
	"x-forwarded-port":    "443",
	"x-forwarded-host":    "spoof.execute-api.localhost",
	"x-forwarded-prefix":  "", // not set, and nobody else's to set
	"forwarded":           "",
	"x-real-ip":           "",
	"x-amzn-requestid":    "",
	"x-amzn-oidc-data":    "",
	"x-by-transform":      "policy",  // policies: transform
	"x-by-parameter":      "mapped",  // requestParameters
	"x-removed-by-policy": "",        // removed by transform
	"x-principal":         "someone", // what an authorizer would have found
}

const evil = "evil"

// spellings are the ways in which a client writes a field that an upstream may take for name.
func spellings(name string) []string {
	under := strings.ReplaceAll(name, "-", "_")
	mixed := strings.Replace(name, "-", "_", 1)
	all := []string{name, strings.ToUpper(name), http.CanonicalHeaderKey(name), under, strings.ToUpper(under), mixed}
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		all = append(all, name[:i]+"_"+name[i+1:])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// forgeries are heads and bodies that smuggle a value of name in one spelling.
func forgeries(spelling string) map[string]string {
	const line = "POST /prod/x HTTP/1.1\r\nHost: spoof.execute-api.localhost\r\n"
	field := spelling + ": " + evil + "\r\n"
	plain := "Content-Length: 0\r\n\r\n"
	return map[string]string{
		"once":                line + field + plain,
		"twice":               line + field + field + plain,
		"list":                line + spelling + ": " + evil + ", " + evil + "\r\n" + plain,
		"empty and evil":      line + spelling + ":\r\n" + field + plain,
		"named in Connection": line + field + "Connection: " + spelling + "\r\n" + plain,
		"only in Connection":  line + "Connection: " + spelling + "\r\n" + plain,
		"trailer":             line + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + field + "\r\n",
		"announced trailer":   line + "Transfer-Encoding: chunked\r\nTrailer: " + spelling + "\r\n\r\n1\r\nx\r\n0\r\n" + field + "\r\n",
		"trailer of a stream": line + "Transfer-Encoding: chunked\r\n\r\n8000\r\n" + strings.Repeat("x", 0x8000) + "\r\n0\r\n" + field + "\r\n",
	}
}

func spoofed(t *testing.T) (*recorder, *gateway) {
	up := record(t)
	return up, start(t, files{"apis/spoof.yaml": document(`x-wasmgate-api: {id: spoof, stage: prod}
x-wasmgate-policies:
  - plugin: transform
    config: {request: {headers: {set: {x-by-transform: policy, x-principal: someone}, remove: [x-removed-by-policy]}}}`,
		`/x: {x-amazon-apigateway-any-method: {`+proxy(up.url+"/x", `requestParameters: {integration.request.header.x-by-parameter: "'mapped'"}`)+`}}`)})
}

// TestSpoofedIdentity sends every field that the gateway or a policy sets in every spelling:
// the upstream sees ours, once, or none, in whatever way it reads names (GO-2026-4597,
// CVE-2025-64484, CVE-2026-33433, CVE-2026-31838).
func TestSpoofedIdentity(t *testing.T) {
	up, g := spoofed(t)
	n := 0
	for name, value := range ours {
		t.Run(name, func(t *testing.T) {
			for _, spelling := range spellings(name) {
				for how, request := range forgeries(spelling) {
					n++
					c := g.dialTLS(t)
					_, err := io.WriteString(c, request)
					require.NoError(t, err)
					resp, _, err := c.receive("POST")
					require.NoError(t, err)
					c.Close()
					seen := up.take()
					if resp.StatusCode == http.StatusBadRequest {
						assert.Empty(t, seen)
						continue
					}
					require.Equal(t, http.StatusOK, resp.StatusCode, "%s %s", how, spelling)
					require.Len(t, seen, 1)
					assert.Equal(t, value, asUpstreamsRead(t, seen[0], name), "%s %s: %s", how, spelling, seen[0][:min(len(seen[0]), 500)])
				}
			}
		})
	}
	t.Logf("%d forgeries", n)
	require.Greater(t, n, 500)
}

// asUpstreamsRead joins every value that an upstream could take for name's, from head and
// trailer, whatever it makes of case and of _.
func asUpstreamsRead(t *testing.T, request, name string) string {
	m := parseMessage(t, request)
	var values []string
	for _, f := range slices.Concat(m.own, m.fields, m.trailer) {
		if n, v, _ := strings.Cut(f, ": "); strings.ReplaceAll(strings.ToLower(n), "_", "-") == name {
			values = append(values, v)
		}
	}
	return strings.Join(values, " AND ")
}

// TestSpoofedIdentityOverHTTP2 does the same where names are lower case by rule.
func TestSpoofedIdentityOverHTTP2(t *testing.T) {
	up, g := spoofed(t)
	for name, value := range ours {
		for _, spelling := range spellings(name) {
			for _, trailer := range []bool{false, true} {
				req, err := http.NewRequest(http.MethodPost, "https://spoof.execute-api.localhost/prod/x", io.MultiReader(strings.NewReader("x")))
				require.NoError(t, err)
				if trailer {
					req.Trailer = http.Header{spelling: {evil}}
				} else {
					req.Header[spelling] = []string{evil, evil}
				}
				status := sendHTTP2(t, g, req)
				seen := up.take()
				if status == http.StatusBadRequest {
					assert.Empty(t, seen)
					continue
				}
				require.Equal(t, http.StatusOK, status, spelling)
				require.Len(t, seen, 1)
				assert.Equal(t, value, asUpstreamsRead(t, seen[0], name), "%s, trailer: %v: %s", spelling, trailer, seen[0])
			}
		}
	}
}
