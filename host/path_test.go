package host_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

// pathAuthorizer is a plugin that lets everybody in, under the path that it was shown as
// the principal; or nobody.
func pathAuthorizer(allow bool) string {
	decision := abi.DecisionDeny
	if allow {
		decision = abi.DecisionAllow
	}
	var w abi.Writer[abi.ResultField]
	buf := make([]byte, 256)
	w.Start(buf, abi.HookAuthorize, 2)
	w.Uint(abi.ResultDecision, uint64(decision))
	w.Bytes(abi.ResultPrincipal, nil)
	n, err := w.Finish()
	if err != nil {
		panic(err)
	}
	const at, scratch = 1 << 10, 64 << 10
	end := int64(at + n) // where the principal begins
	m := &Module{Memories: [][2]int{{8, 8}}}
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(scratch<<32|64<<10)))
	m.Data(at, buf[:n])
	// The only field of the request lies at the offset in its entry, behind header, id and type.
	offset, length := Cat(I32Const(scratch+20), I32Load(0)), Cat(I32Const(scratch+24), I32Load(0))
	m.Export(abi.HookAuthorize.Export(), m.Func(Sig(T(I32), T(I64)), nil,
		I32Const(end), I32Const(scratch), offset, I32Add, length, MemoryCopy,
		I32Const(at+8), length, I32Const(int64(n)), I32Add, I32Store(0), // the record's length
		I32Const(at+36), length, I32Store(0), // the principal's, in the second entry
		I64Const(at<<32), length, I32Const(int64(n)), I32Add, I64FromU, I64Or))
	m.Custom(abi.ManifestSection, []byte(`{"id": "gate", "version": "1", "abi": 1, "hooks": {"authorize": {"fields": ["path"]}}}`))
	return string(m.Bytes())
}

// adminSpellings are ways to write /admin and what lies below it.
func adminSpellings() (all []string) {
	slashes := []string{"/", "//", "///", "/./", "/%2f", "/%2F", "%2f", "/%5c", "\\", "/\\", "/%5C/", "/;/", "/;a=b/", "/%2e/", "/x/../", "/x/%2e%2e/",
		"/x/%2E./", "/x/..;/", "/x/..%2f", "/x/..\\", "/x%2f../", "/%252f", "/x/%252e%252e/", "/%c0%af", "/%e0%80%af", "/%c0%ae%c0%ae/", "/..%00/", "/%u002f", "/x/..%5c", "/.;/", "/%3b/"}
	names := []string{"admin", "Admin", "ADMIN", "%61dmin", "adm%69n", "%61%64%6d%69%6e", "a%64min", "%2561dmin", "admin%20", "admin%00", "admin.", "admin;x=y", "admin%3bx",
		"%c1%a1dmin", "adm\xc4\xb1n", "adm%c4%b1n", "admin%09", "admin#", "admin%23x", "admin?", "admin%3fx"}
	tails := []string{"", "/", "//", "/users", "//users", "/../admin/users", "/%2e%2e/admin", "/users/..", "%2fusers", "%5cusers", "\\users", ";/users", "/;x/users", "/.", "/./users", "/%75sers"}
	for _, s := range slashes {
		all = append(all, s+"admin", s+"admin/users", s+"%61dmin/users")
	}
	for _, n := range names {
		all = append(all, "/"+n, "/"+n+"/users", "//"+n, "/x/../"+n)
	}
	for _, t := range tails {
		all = append(all, "/admin"+t, "/%61dmin"+t, "/public/../admin"+t, "/public%2f..%2fadmin"+t, "/public"+t+"/admin")
	}
	for i, path := range all {
		if !strings.HasPrefix(path, "/") {
			all[i] = "/" + path
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// laxly is a path as the laxest upstream reads it: decoded until nothing changes,
// backslashes as slashes, parameters, controls and empty segments dropped, dots resolved.
func laxly(path string) string {
	for {
		next, err := url.PathUnescape(path)
		if err != nil || next == path {
			break
		}
		path = next
	}
	path = strings.NewReplacer("\\", "/", "\xc0\xaf", "/", "\xe0\x80\xaf", "/", "\xc0\xae", ".", "\xc1\xa1", "a").Replace(path)
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	var out []string
	for segment := range strings.SplitSeq(path, "/") {
		segment, _, _ = strings.Cut(segment, ";")
		segment, _, _ = strings.Cut(segment, "\x00")
		switch segment {
		case "", ".":
		case "..":
			out = out[:max(0, len(out)-1)]
		default:
			out = append(out, segment)
		}
	}
	return "/" + strings.Join(out, "/")
}

// TestPathMatrix asks for /admin in every spelling. What reaches the upstream as /admin, in
// the laxest reading, has passed the authorizer, which has seen the path that is sent, byte
// for byte (CVE-2025-66490, CVE-2026-26205, CVE-2026-52844, GO-2026-4950).
func TestPathMatrix(t *testing.T) {
	for _, allow := range []bool{true, false} {
		t.Run(fmt.Sprint("allow ", allow), func(t *testing.T) {
			up := record(t)
			gate := `x-wasmgate-policies: [{plugin: gate}]`
			told := `requestParameters: {integration.request.header.x-authorized: context.authorizer.principalId}`
			g := start(t, files{"plugins/gate.wasm": pathAuthorizer(allow), "apis/path.yaml": document("x-wasmgate-api: {id: path, stage: prod, domains: [path.example]}",
				`/admin: {x-amazon-apigateway-any-method: {`+gate+`, `+proxy(up.url+"/admin", told)+`}}`,
				`/admin/{proxy+}: {x-amazon-apigateway-any-method: {`+gate+`, `+proxy(up.url+"/admin/{proxy}", told)+`}}`,
				`/{proxy+}: {x-amazon-apigateway-any-method: {`+proxy(up.url+"/{proxy}")+`}}`)})
			m := &matrix{up: up, allow: allow}
			for _, path := range adminSpellings() {
				m.check(t, path, overHTTP1(t, g, path))
				if strings.IndexByte(path, 0xc4) < 0 && strings.IndexByte(path, 0) < 0 {
					m.check(t, path, overHTTP2(t, g, path))
				}
			}
			t.Logf("%d spellings: %d authorised, %d public, %d refused", len(adminSpellings()), m.authorised, m.public, m.refused)
			require.Greater(t, len(adminSpellings()), 200)
			require.Positive(t, m.public)
			require.Positive(t, m.refused)
			require.Equal(t, allow, m.authorised > 10)
		})
	}
}

type matrix struct {
	up                          *recorder
	allow                       bool
	authorised, public, refused int
}

// check looks at what one spelling did.
func (m *matrix) check(t *testing.T, path string, status int) {
	seen := m.up.take()
	if status != http.StatusOK {
		m.refused++
		assert.Contains(t, []int{400, 401, 403, 404}, status, "%q", path)
		assert.Empty(t, seen, "%q", path)
		return
	}
	if !assert.Len(t, seen, 1, "%q", path) {
		return
	}
	got := parseMessage(t, seen[0])
	sent := strings.Split(got.line, " ")[1]
	sentPath, _, _ := strings.Cut(sent, "?")
	i := slices.IndexFunc(got.fields, func(f string) bool { return strings.HasPrefix(f, "x-authorized: ") })
	if i < 0 {
		m.public++
		lax := laxly(sentPath)
		assert.False(t, lax == "/admin" || strings.HasPrefix(lax, "/admin/"), "%q reached the upstream as %q without the authorizer", path, sent)
		return
	}
	m.authorised++
	assert.True(t, m.allow, "%q reached the upstream as %q against the authorizer", path, sent)
	authorised := strings.TrimPrefix(got.fields[i], "x-authorized: ")
	if sentPath == "/admin" { // the integration's own, whose route takes one slash more
		authorised = strings.TrimSuffix(authorised, "/")
	}
	assert.Equal(t, authorised, sentPath, "%q: authorised and sent", path)
}

func overHTTP1(t *testing.T, g *gateway, path string) int {
	c := g.dialTLS(t)
	defer c.Close()
	_, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: path.example\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	resp, body, err := c.receive("GET")
	require.NoError(t, err, "%q", path)
	require.True(t, resp.StatusCode == http.StatusOK || bytes.Contains([]byte(body), []byte(`"message"`)) || strings.Contains(body, `"Message"`), "%q: %s", path, body)
	return resp.StatusCode
}

func overHTTP2(t *testing.T, g *gateway, path string) int {
	return sendHTTP2(t, g, &http.Request{Method: http.MethodGet, Header: http.Header{},
		URL: &url.URL{Scheme: "https", Host: "path.example", Opaque: "https://path.example" + path}})
}

// sendHTTP2 uses one connection for one request, because net/http would send it again and
// again when the stream is refused. That counts as 400.
func sendHTTP2(t *testing.T, g *gateway, req *http.Request) (status int) {
	c, err := tls.Dial("tcp", g.https, &tls.Config{RootCAs: g.roots, ServerName: "localhost", NextProtos: []string{"h2"}})
	require.NoError(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	conn, err := new(http2.Transport).NewClientConn(c)
	require.NoError(t, err)
	resp, err := conn.RoundTrip(req.WithContext(t.Context()))
	if refused, ok := errors.AsType[http2.StreamError](err); ok && refused.Code == http2.ErrCodeProtocol {
		return http.StatusBadRequest
	}
	require.NoError(t, err, "%v", req)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode
}
