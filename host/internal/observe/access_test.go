package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func entry() *Entry {
	return &Entry{
		Time: time.Unix(1764000000, 123456789), RequestID: "8d6d2a0c", APIID: "shop", Stage: "prod", RouteKey: "GET /pets/{id}",
		Domain: "shop.execute-api.localhost:8443", Method: "GET", Path: "/prod/pets/7", Query: "a=1&token=s3cret", Protocol: "HTTP/2.0",
		Status: 403, ResponseLength: 23, ResponseLatency: 1234567 * time.Nanosecond, IntegrationLatency: time.Millisecond, IntegrationStatus: 200,
		CacheStatus: "miss", SourceIP: netip.MustParseAddr("2001:db8::7"), UserAgent: []byte("curl/8"), PrincipalID: "alice", APIKeyID: "k1",
		ErrorType: "ACCESS_DENIED", ErrorMessage: "Forbidden", Reason: "scope", Labels: []Label{{"tier", "gold"}, {"Token", "s3cret"}},
	}
}

// render is the line of e.
func render(t *testing.T, e *Entry, redactQuery ...string) string {
	r := newRedactor(redactQuery)
	line := string(e.append(nil, &r, new([]byte)))
	require.True(t, json.Valid([]byte(line)), line)
	require.Equal(t, len(line)-1, strings.IndexByte(line, '\n'), "one line: %q", line)
	return strings.TrimSuffix(line, "\n")
}

func TestEntry(t *testing.T) {
	assert.Equal(t, `{"requestTime":"2025-11-24T16:00:00.123Z","requestId":"8d6d2a0c","apiId":"shop","stage":"prod","routeKey":"GET /pets/{id}",`+
		`"domainName":"shop.execute-api.localhost:8443","httpMethod":"GET","path":"/prod/pets/7","query":"a=1&token=[redacted]","protocol":"HTTP/2.0",`+
		`"status":403,"responseLength":23,"responseLatency":1.235,"integrationLatency":1,"integrationStatus":200,"cacheStatus":"miss",`+
		`"identity":{"sourceIp":"2001:db8::7","userAgent":"curl/8","apiKeyId":"k1"},"authorizer":{"principalId":"alice"},`+
		`"error":{"responseType":"ACCESS_DENIED","message":"Forbidden","reason":"scope"},"labels":{"tier":"gold","Token":"[redacted]"}}`,
		render(t, entry(), "token"))
	assert.Equal(t, `{"requestTime":"0001-01-01T00:00:00.000Z","status":0,"responseLength":0,"responseLatency":0,"identity":{}}`, render(t, &Entry{}))
}

func TestQueryRedaction(t *testing.T) {
	names := []string{"token", "access_token", "Key", "x-amz-signature"}
	for in, want := range map[string]string{
		"token=x&a=b":                       "token=[redacted]&a=b",
		"TOKEN=x":                           "TOKEN=[redacted]",
		"to%6ben=x":                         "to%6ben=[redacted]",
		"%74%6F%6B%65%6E=x":                 "%74%6F%6B%65%6E=[redacted]",
		"to%256ben=x":                       "to%256ben=[redacted]",
		"token[]=x&token%5B0%5D=y":          "token[]=[redacted]&token%5B0%5D=[redacted]",
		"a=b;token=x":                       "a=b;token=[redacted]",
		"token=x=y==&token=z":               "token=[redacted]&token=[redacted]",
		"token":                             "token",
		"token=":                            "token=[redacted]",
		"X-Amz-Signature=00ff&X-Amz-Date=1": "X-Amz-Signature=[redacted]&X-Amz-Date=1",
		"tokens=1&atoken=2&key%zz=3":        "tokens=1&atoken=2&key%zz=3",
		"q=eyJhbGciOiJub25lIn0.e30.x":       "q=[redacted]",
		"&&a&=b&":                           "&&a&=b&",
		strings.Repeat("t", 200) + "=x":     strings.Repeat("t", 200) + "=x",
	} {
		r := newRedactor(names)
		assert.Equal(t, want, string(r.appendQuery(nil, in)), in)
	}
}

// Nothing that a client sends may end a line, leave its string or drive a terminal.
func TestHostileFields(t *testing.T) {
	e := entry()
	e.UserAgent = []byte("a\",\"status\":200}\r\n{\"x\":\"\x1b[2J\x00\x7f\xff\xc2\x9b31m\u2028\\")
	e.Path = strings.Repeat("é", fieldMax)
	line := render(t, e)
	var got struct {
		Status   int
		Path     string
		Identity struct{ UserAgent string }
	}
	require.NoError(t, json.Unmarshal([]byte(line), &got))
	assert.Equal(t, 403, got.Status)
	assert.Equal(t, "a\",\"status\":200}\r\n{\"x\":\"\x1b[2J\x00\x7f\ufffd\u009b31m\u2028\\", got.Identity.UserAgent)
	assert.Equal(t, strings.Repeat("é", fieldMax/2)+"…", got.Path)
	for _, c := range line {
		assert.False(t, unicode.IsControl(c), "%q", c)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("\x00\"\\\x7f\xc2\x80\xe2\x80\xa8\xff\xed\xa0\x80"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > fieldMax {
			in = in[:fieldMax]
		}
		out := append(appendString([]byte{'"'}, in), '"')
		if string(out[1:len(out)-1]) != string(appendString(nil, string(in))) {
			t.Fatal("string and bytes differ")
		}
		var back string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		var want strings.Builder
		for rest := in; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			want.WriteRune(r)
			rest = rest[n:]
		}
		if back != want.String() {
			t.Fatalf("%q came back as %q", want.String(), back)
		}
		for _, r := range string(out) {
			if unicode.IsControl(r) {
				t.Fatalf("%q holds %q", out, r)
			}
		}
	})
}

func TestSampling(t *testing.T) {
	a, err := OpenAccessLog(AccessOptions{Writer: io.Discard, Sample: 0.25})
	require.NoError(t, err)
	o := New(Options{Access: a})
	logged := 0
	for i := range uint64(1000) {
		seed := i * 0x9e3779b97f4a7c15
		if o.Logs(200, seed) {
			logged++
		}
		assert.True(t, o.Logs(404, seed) && o.Logs(500, seed) && o.Logs(0, seed), "errors always")
	}
	assert.InDelta(t, 250, logged, 40)
	for share, want := range map[float64]bool{0: false, 1: true} {
		a, err := OpenAccessLog(AccessOptions{Writer: io.Discard, Sample: share})
		require.NoError(t, err)
		assert.Equal(t, want, a.wants(200, 0))
		assert.Equal(t, want, a.wants(200, ^uint64(0)))
	}
	assert.False(t, New(Options{}).Logs(500, 0))
	New(Options{}).Log(entry()) // no access log: nothing
	_, err = OpenAccessLog(AccessOptions{Sample: 1.5})
	assert.ErrorContains(t, err, "want 0 to 1")
}

func TestAccessLogFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	a, err := OpenAccessLog(AccessOptions{File: file, Sample: 1})
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, a.Run(t.Context())) })
	for range 3 {
		a.Log(entry())
	}
	require.Eventually(t, func() bool { return lines(t, file) == 3 }, 5*time.Second, 5*time.Millisecond)
	require.NoError(t, os.Rename(file, file+".1"))
	a.Log(entry())
	require.NoError(t, a.Reopen())
	assert.Equal(t, 4, lines(t, file+".1"), "what came before stays in the old file")
	a.Log(entry())
	require.NoError(t, a.Close())
	wg.Wait()
	assert.Equal(t, 1, lines(t, file), "Close writes what waits")
	a.Log(entry())
	assert.EqualValues(t, 1, a.dropped[0].Load())
	require.NoError(t, a.Close())
	assert.NoError(t, a.Run(t.Context()), "after Close it returns at once")
	_, err = OpenAccessLog(AccessOptions{File: filepath.Join(file, "x")})
	assert.Error(t, err)
}

func lines(t *testing.T, file string) int {
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	return bytes.Count(data, []byte("\n"))
}

// failing is a disk that is full for a while.
type failing struct {
	broken atomic.Bool
	bytes.Buffer
}

func (f *failing) Write(p []byte) (int, error) {
	if f.broken.Load() {
		return 0, errors.New("no space left")
	}
	return f.Buffer.Write(p)
}

func TestAccessLogDropsAndSaysSo(t *testing.T) {
	var told bytes.Buffer
	w := &failing{}
	size := len(render(t, entry())) + 1
	a, err := OpenAccessLog(AccessOptions{Writer: w, Sample: 1, Queue: 2*size + size/2, Log: slog.New(slog.NewTextHandler(&told, nil))})
	require.NoError(t, err)
	for range 5 {
		a.Log(entry())
	}
	assert.EqualValues(t, 3, a.dropped[0].Load(), "a full queue holds nobody up")
	w.broken.Store(true)
	a.flush()
	a.Log(entry())
	a.flush()
	assert.EqualValues(t, 3, a.dropped[1].Load())
	assert.Equal(t, 1, strings.Count(told.String(), "cannot be written"))
	w.broken.Store(false)
	a.Log(entry())
	require.NoError(t, a.Close())
	assert.Contains(t, told.String(), "written again")
	assert.Equal(t, 1, strings.Count(w.String(), "\n"))
	expect(t, New(Options{Access: a}), `
# HELP wasmgate_access_log_dropped_total Access log lines that were lost.
# TYPE wasmgate_access_log_dropped_total counter
wasmgate_access_log_dropped_total{reason="queue_full"} 3
wasmgate_access_log_dropped_total{reason="write_failed"} 3
`, "wasmgate_access_log_dropped_total")
}

func TestAccessLogHammer(t *testing.T) {
	var out bytes.Buffer
	a, err := OpenAccessLog(AccessOptions{Writer: &out, Sample: 1, Queue: 64 << 20})
	require.NoError(t, err)
	var run, log sync.WaitGroup
	run.Go(func() { a.Run(t.Context()) })
	for range 8 {
		log.Go(func() {
			for range 500 {
				a.Log(entry())
			}
		})
	}
	log.Wait()
	require.NoError(t, a.Close())
	run.Wait()
	want := render(t, entry())
	got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, got, 4000)
	for _, line := range got {
		require.Equal(t, want, line)
	}
}

func TestLineAllocatesNothing(t *testing.T) {
	r, e, s := newRedactor([]string{"token"}), entry(), new(scratch)
	write := func() { s.line = e.append(s.line[:0], &r, &s.query) }
	write() // grows the memory once
	assert.Zero(t, testing.AllocsPerRun(100, write))
}

func TestOperatorLogRedacts(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := NewLogger(&out, "info", format, strings.NewReplacer("resolved", "gone").Replace)
		require.NoError(t, err)
		log.Debug("unseen")
		log.Info("seen\nforged", "Authorization", "s3cret", "key_id", "k1", "client_secret", []string{"s3cret"},
			slog.Group("upstream", "password", "s3cret", "host", "example.com"), slog.Group("cookies", "sid", "s3cret"),
			"value", "Bearer eyJhbGciOiJub25lIn0.e30.x", "error", errors.New("open resolved"), "files", []string{"resolved"})
		assert.NotContains(t, out.String(), "resolved")
		assert.Contains(t, out.String(), "open gone")
		assert.NotContains(t, out.String(), "s3cret")
		assert.NotContains(t, out.String(), "eyJ")
		assert.NotContains(t, out.String(), "unseen")
		assert.Contains(t, out.String(), "example.com")
		assert.Contains(t, out.String(), "k1")
		assert.Equal(t, 1, strings.Count(out.String(), "\n"))
	}
	_, err := NewLogger(io.Discard, "loud", "json", nil)
	assert.ErrorContains(t, err, `level "loud"`)
	_, err = NewLogger(io.Discard, "info", "xml", nil)
	assert.ErrorContains(t, err, `format "xml"`)
}

func BenchmarkLog(b *testing.B) {
	a, err := OpenAccessLog(AccessOptions{Writer: io.Discard, Sample: 1, RedactQuery: []string{"token"}})
	require.NoError(b, err)
	e := entry()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.Log(e)
		if i%100 == 0 {
			a.flush()
		}
	}
}
