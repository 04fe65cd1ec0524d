package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// bench is a cache with a clock to turn.
type bench struct {
	*Cache
	t     testing.TB
	clock atomic.Int64
}

func newBench(t testing.TB, o Options) *bench {
	b := &bench{t: t}
	o.Now = func() time.Time { return epoch.Add(time.Duration(b.clock.Load())) }
	c, err := New(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	b.Cache = c
	return b
}

func (b *bench) wait(d time.Duration) { b.clock.Add(int64(d)) }

func request(lines ...string) *exchange.Exchange {
	x := exchange.Acquire()
	x.Method, x.Context = "GET", context.Background()
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		if name == "method" {
			x.Method = value
			continue
		}
		x.Header.Add(name, value)
	}
	return x
}

// upstream answers with a status, field lines and a body, and counts.
type upstream struct {
	status int
	lines  []string
	body   string
	stream bool // as a stream of unknown length
	err    error
	calls  atomic.Int64
}

func (u *upstream) fetch(x *exchange.Exchange) func() error {
	return func() error {
		u.calls.Add(1)
		if u.err != nil {
			return u.err
		}
		x.Response.Status = max(u.status, 0)
		if u.status == 0 {
			x.Response.Status = 200
		}
		for _, line := range u.lines {
			name, value, _ := strings.Cut(line, ": ")
			x.Response.Header.Add(name, value)
		}
		x.Response.Body, x.Response.Length = []byte(u.body), int64(len(u.body))
		if u.stream {
			x.Response.Body, x.Response.Stream, x.Response.Length = nil, io.NopCloser(strings.NewReader(u.body)), -1
		}
		return nil
	}
}

func key(s string) [32]byte { return sha256.Sum256([]byte(s)) }

// get serves one request and returns the status and the answer's text.
func (b *bench) get(u *upstream, r Request, lines ...string) (Status, string) {
	x := request(lines...)
	defer x.Release()
	if r.Key == ([32]byte{}) {
		r.Key = key("k")
	}
	status, err := b.Serve(x, r, u.fetch(x))
	if err != nil {
		return status, "error: " + err.Error()
	}
	body := x.Response.Body
	if x.Response.Stream != nil {
		body, err = io.ReadAll(x.Response.Stream)
		require.NoError(b.t, err)
		require.NoError(b.t, x.Response.Stream.Close())
	}
	return status, fmt.Sprintf("%d %s [%s]", x.Response.Status, body, x.Response.Header.Get("cache-status"))
}

// Each line of RFC 9111 3 and 5.2 that decides whether an answer may be kept.
func TestWhatIsStored(t *testing.T) {
	minute := Request{TTL: time.Minute}
	for _, tt := range []struct {
		name     string
		r        Request
		request  []string
		status   int
		response []string
		stored   bool
	}{
		{"policy ttl", minute, nil, 200, nil, true},
		{"no ttl and no freshness", Request{}, nil, 200, nil, false},
		{"max-age", Request{}, nil, 200, []string{"cache-control: max-age=60"}, true},
		{"max-age quoted, upper case", Request{}, nil, 200, []string{`cache-control: x="a,b", MAX-AGE="60"`}, true},
		{"s-maxage", Request{}, nil, 200, []string{"cache-control: s-maxage=60, max-age=0"}, true},
		{"s-maxage 0 beats max-age", Request{}, nil, 200, []string{"cache-control: s-maxage=0, max-age=60"}, false},
		{"max-age 0", Request{}, nil, 200, []string{"cache-control: max-age=0"}, false},
		{"max-age 0 under a policy ttl", minute, nil, 200, []string{"cache-control: max-age=0"}, true},
		{"max-age no number", Request{}, nil, 200, []string{"cache-control: max-age=1h"}, false},
		{"max-age negative", Request{}, nil, 200, []string{"cache-control: max-age=-1"}, false},
		{"max-age twice and different", Request{}, nil, 200, []string{"cache-control: max-age=60", "cache-control: max-age=90"}, false},
		{"max-age twice and equal", Request{}, nil, 200, []string{"cache-control: max-age=60, max-age=60"}, true},
		{"max-age eaten by age", Request{}, nil, 200, []string{"cache-control: max-age=60", "age: 60"}, false},
		{"max-age eaten by date", Request{}, nil, 200, []string{"cache-control: max-age=60", "date: Mon, 23 Nov 2026 11:58:00 GMT"}, false},
		{"max-age huge", Request{}, nil, 200, []string{"cache-control: max-age=99999999999999999999"}, true},
		{"expires", Request{}, nil, 200, []string{"date: Mon, 23 Nov 2026 12:00:00 GMT", "expires: Mon, 23 Nov 2026 12:01:00 GMT"}, true},
		{"expires, rfc850", Request{}, nil, 200, []string{"expires: Monday, 23-Nov-26 12:01:00 GMT"}, true},
		{"expires, asctime", Request{}, nil, 200, []string{"expires: Mon Nov 23 12:01:00 2026"}, true},
		{"expires 0", Request{}, nil, 200, []string{"expires: 0"}, false},
		{"expires twice", Request{}, nil, 200, []string{"expires: Mon, 23 Nov 2026 12:01:00 GMT", "expires: Mon, 23 Nov 2026 12:01:00 GMT"}, false},
		{"expires past", Request{}, nil, 200, []string{"expires: Mon, 23 Nov 2026 11:01:00 GMT"}, false},
		{"no-store", minute, nil, 200, []string{"cache-control: no-store"}, false},
		{"no-store in the second field", minute, nil, 200, []string{"cache-control: public", "cache-control: no-store"}, false},
		{"no-store, odd case", minute, nil, 200, []string{"cache-control: No-Store"}, false},
		{"no-store after a quoted comma", minute, nil, 200, []string{`cache-control: a="x,y\"z", no-store`}, false},
		{"no-store hidden in a quote is none", minute, nil, 200, []string{`cache-control: a="no-store"`}, true},
		{"unclosed quote", minute, nil, 200, []string{`cache-control: a="no-store`}, false},
		{"junk between directives", minute, nil, 200, []string{`cache-control: public no-store`}, false},
		{"private", minute, nil, 200, []string{"cache-control: private"}, false},
		{"private with names", minute, nil, 200, []string{`cache-control: private="x-a"`}, false},
		{"no-cache", minute, nil, 200, []string{"cache-control: no-cache"}, false},
		{"no-cache with names", minute, nil, 200, []string{`cache-control: no-cache="x-a"`}, false},
		{"unknown directives", minute, nil, 200, []string{"cache-control: immutable, a=b"}, true},
		{"set-cookie", minute, nil, 200, []string{"set-cookie: a=b", "cache-control: public, max-age=60"}, false},
		{"vary star", minute, nil, 200, []string{"vary: accept, *"}, false},
		{"vary on what the gateway makes", minute, nil, 200, []string{"vary: X-Forwarded-For"}, false},
		{"vary on the host", minute, nil, 200, []string{"vary: Host"}, false},
		{"content-range", minute, nil, 200, []string{"content-range: bytes 0-1/5"}, false},
		{"206", minute, nil, 206, []string{"cache-control: public, max-age=60"}, false},
		{"304", minute, nil, 304, []string{"cache-control: public, max-age=60"}, false},
		{"404 under a policy ttl", minute, nil, 404, nil, true},
		{"302 under a policy ttl", minute, nil, 302, nil, false},
		{"302 with freshness", Request{}, nil, 302, []string{"cache-control: max-age=60"}, true},
		{"500 under a policy ttl", minute, nil, 500, nil, false},
		{"403 under a policy ttl", minute, nil, 403, nil, false},
		{"authorization", minute, []string{"authorization: x"}, 200, []string{"cache-control: max-age=60"}, false},
		{"authorization, identity in the key", Request{TTL: time.Minute, PerIdentity: true}, []string{"authorization: x"}, 200, nil, true},
		{"authorization, identity in the key, private", Request{TTL: time.Minute, PerIdentity: true}, []string{"authorization: x"}, 200, []string{"cache-control: private"}, false},
		{"authorization, public", minute, []string{"authorization: x"}, 200, []string{"cache-control: public"}, true},
		{"authorization, s-maxage", Request{}, []string{"authorization: x"}, 200, []string{"cache-control: s-maxage=60"}, true},
		{"authorization, must-revalidate", minute, []string{"authorization: x"}, 200, []string{"cache-control: must-revalidate"}, true},
		{"request no-store", minute, []string{"cache-control: no-store"}, 200, nil, false},
		{"request max-age=0 stores", minute, []string{"cache-control: max-age=0"}, 200, nil, true},
		{"HEAD", minute, []string{"method: HEAD"}, 200, nil, false},
		{"POST", minute, []string{"method: POST"}, 200, []string{"cache-control: public, max-age=60"}, false},
		{"get in lower case", minute, []string{"method: get"}, 200, nil, false},
		{"range", minute, []string{"range: bytes=0-1"}, 200, nil, false},
		{"if-match", minute, []string{`if-match: "a"`}, 200, nil, false},
		{"bypass", Request{TTL: time.Minute, Bypass: true}, nil, 200, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, stream := range []bool{false, true} {
				b := newBench(t, Options{})
				u := &upstream{status: tt.status, lines: tt.response, body: "body", stream: stream}
				b.get(u, tt.r, tt.request...)
				var again []string
				for _, line := range tt.request { // the same request, without what forbids a hit
					if !strings.HasPrefix(line, "method") && !strings.HasPrefix(line, "range") && !strings.HasPrefix(line, "if-") {
						again = append(again, line)
					}
				}
				r := tt.r
				r.Bypass = false
				status, got := b.get(u, r, again...)
				require.Equal(t, tt.stored, status == Hit, "stream %v: %s", stream, got)
			}
		})
	}
}

func TestHit(t *testing.T) {
	b := newBench(t, Options{})
	u := &upstream{body: "hello", lines: []string{"content-type: text/plain", "age: 7", "cache-control: max-age=60",
		"connection: x", "proxy-authenticate: x", `etag: "v1"`}}
	status, got := b.get(u, Request{})
	require.Equal(t, Miss, status)
	require.Equal(t, "200 hello [wasmgate; fwd=uri-miss; stored]", got)
	b.wait(10500 * time.Millisecond)

	x := request()
	defer x.Release()
	status, err := b.Serve(x, Request{Key: key("k")}, u.fetch(x))
	require.NoError(t, err)
	require.Equal(t, Hit, status)
	var lines []string
	for name, value := range x.Response.Header.All() {
		lines = append(lines, fmt.Sprintf("%s: %s", name, value))
	}
	require.Equal(t, []string{"content-type: text/plain", "cache-control: max-age=60", `etag: "v1"`,
		"date: Mon, 23 Nov 2026 12:00:00 GMT", "age: 17", "cache-status: wasmgate; hit; ttl=42"}, lines)
	require.Equal(t, "hello", string(x.Response.Body))

	b.wait(43 * time.Second)
	status, got = b.get(u, Request{})
	require.Equal(t, Miss, status)
	require.Equal(t, "200 hello [wasmgate; fwd=stale; stored]", got)
	require.EqualValues(t, 2, u.calls.Load())
	_, got = b.get(u, Request{Bypass: true})
	require.Equal(t, "200 hello [wasmgate; fwd=bypass]", got)
	_, got = b.get(u, Request{}, "method: HEAD")
	require.Equal(t, "200  [wasmgate; hit; ttl=53]", got)
	_, got = b.get(u, Request{Key: key("other")}, "cache-control: only-if-cached")
	require.Equal(t, "error: "+ErrNotCached.Error(), got)
}

func TestPolicyTTLHoldsWhateverTheAnswerSays(t *testing.T) {
	b := newBench(t, Options{})
	u := &upstream{lines: []string{"cache-control: max-age=1"}}
	r := Request{TTL: time.Hour}
	b.get(u, r)
	b.wait(time.Hour - 1)
	status, _ := b.get(u, r)
	require.Equal(t, Hit, status)
	b.wait(1)
	status, _ = b.get(u, r)
	require.Equal(t, Miss, status)
}

func TestConditions(t *testing.T) {
	const modified = "Mon, 23 Nov 2026 10:00:00 GMT"
	for _, tt := range []struct {
		request []string
		status  int
	}{
		{[]string{`if-none-match: "v1"`}, 304},
		{[]string{`if-none-match: W/"v1"`}, 304},
		{[]string{`if-none-match: "v0", "v1"`}, 304},
		{[]string{`if-none-match: "v0"`, `if-none-match: "v1"`}, 304},
		{[]string{`if-none-match: "a, ", "v1"`}, 304},
		{[]string{"if-none-match: *"}, 304},
		{[]string{`if-none-match: "v2"`}, 200},
		{[]string{`if-none-match: v1`}, 200},
		{[]string{`if-none-match: "v1`}, 200},
		{[]string{`if-none-match: "x"v1"`}, 200},
		{[]string{"if-none-match: "}, 200},
		{[]string{`if-none-match: "v2"`, "if-modified-since: " + modified}, 200},
		{[]string{"if-modified-since: " + modified}, 304},
		{[]string{"if-modified-since: Mon, 23 Nov 2026 10:00:01 GMT"}, 304},
		{[]string{"if-modified-since: Mon, 23 Nov 2026 09:59:59 GMT"}, 200},
		{[]string{"if-modified-since: yesterday"}, 200},
	} {
		t.Run(strings.Join(tt.request, " "), func(t *testing.T) {
			b := newBench(t, Options{})
			u := &upstream{body: "hello", lines: []string{`etag: W/"v1"`, "last-modified: " + modified, "content-type: a/b", "vary: accept"}}
			r := Request{TTL: time.Minute}
			for range 2 { // the first is answered from what was just fetched, whole
				x := request(tt.request...)
				_, err := b.Serve(x, Request{Key: key("k"), TTL: r.TTL}, func() error {
					require.False(t, x.Header.Has("if-none-match") || x.Header.Has("if-modified-since"))
					return u.fetch(x)()
				})
				require.NoError(t, err)
				require.Equal(t, tt.status, x.Response.Status)
				require.Equal(t, tt.status == 200, x.Response.Header.Has("content-type"))
				require.Equal(t, tt.status == 200, string(x.Response.Body) == "hello")
				require.True(t, x.Response.Header.Has("etag") && x.Response.Header.Has("vary"))
				name, _, _ := strings.Cut(tt.request[0], ":")
				require.True(t, x.Header.Has(name), "the request has its fields back")
				x.Release()
			}
			require.EqualValues(t, 1, u.calls.Load())
		})
	}
}

func TestVariants(t *testing.T) {
	b := newBench(t, Options{})
	r := Request{TTL: time.Minute}
	serve := func(body, vary string, lines ...string) (Status, string) {
		return b.get(&upstream{body: body, lines: []string{"vary: " + vary}}, r, lines...)
	}
	for _, tt := range []struct {
		lines []string
		want  Status
		body  string
	}{
		{[]string{"accept: a"}, Miss, "0"},
		{[]string{"accept: a"}, Hit, "0"},
		{[]string{"accept: b"}, Miss, "2"},
		{[]string{"accept: b"}, Hit, "2"},
		{[]string{"accept: a"}, Hit, "0"},
		{nil, Miss, "5"},
		{[]string{"accept: "}, Miss, "6"},
		{[]string{"accept: a", "accept: b"}, Miss, "7"},
		{[]string{"accept: a", "accept-language: en"}, Miss, "8"},
		{[]string{"accept: a", "accept-language: en"}, Hit, "8"},
		{[]string{"accept: aaccept-language", "accept-language: "}, Miss, "10"},
	} {
		t.Run(strings.Join(tt.lines, " "), func(t *testing.T) {
			status, got := serve(tt.body, "Accept-Language , accept", tt.lines...)
			require.Equal(t, tt.want, status)
			require.Contains(t, got, "200 "+tt.body+" ")
		})
	}
}

// An encoded answer whose upstream forgot Vary is not given to who cannot read it.
func TestEncodedAnswersVary(t *testing.T) {
	b := newBench(t, Options{})
	r := Request{TTL: time.Minute}
	b.get(&upstream{body: "gz", lines: []string{"content-encoding: gzip"}}, r, "accept-encoding: gzip")
	status, got := b.get(&upstream{body: "plain"}, r)
	require.Equal(t, Miss, status)
	require.Contains(t, got, "200 plain ")
}

// Whatever two requests and their Vary are, an answer goes only to requests equal in what it varies on.
func TestNoCrossVariantHits(t *testing.T) {
	names, values := []string{"a", "b", "ab"}, []string{"", "a", "b", "ab", "a:b", "\x3a"}
	b := newBench(t, Options{})
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		k := key(fmt.Sprint("variants", n))
		vary := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID[string]).Draw(t, "vary")
		lines := rapid.Custom(func(t *rapid.T) []string {
			var lines []string
			for range rapid.IntRange(0, 4).Draw(t, "fields") {
				lines = append(lines, rapid.SampledFrom(names).Draw(t, "name")+": "+rapid.SampledFrom(values).Draw(t, "value"))
			}
			return lines
		})
		seen := map[string]bool{}
		for range 6 {
			request, variant := lines.Draw(t, "request"), ""
			for _, name := range vary {
				variant += name + "("
				for _, line := range request {
					if got, value, _ := strings.Cut(line, ": "); got == name {
						variant += fmt.Sprintf("%q,", value)
					}
				}
				variant += ")"
			}
			u := &upstream{body: variant, lines: []string{"vary: " + strings.Join(vary, ", ")}}
			status, got := b.get(u, Request{Key: k, TTL: time.Minute}, request...)
			if !strings.HasPrefix(got, "200 "+variant+" ") || (status == Hit) != seen[variant] {
				t.Fatalf("%v: %s %s, want %s, seen %v", request, status, got, variant, seen[variant])
			}
			seen[variant] = true
		}
	})
}

func TestNothingCrosses(t *testing.T) {
	b := newBench(t, Options{})
	r := Request{TTL: time.Minute, Group: b.Group("api-1")}
	b.get(&upstream{body: "mine"}, r)
	_, got := b.get(&upstream{body: "yours"}, Request{TTL: time.Minute, Group: b.Group("api-2")})
	require.Contains(t, got, "200 yours ", "equal keys of two groups")

	// Keys that share the 64 bits that the store knows.
	r.Key = key("k")
	b.get(&upstream{body: "mine"}, r)
	r.Key[31]++
	_, got = b.get(&upstream{body: "yours"}, r)
	require.Contains(t, got, "200 yours ")
}

func TestFlush(t *testing.T) {
	b := newBench(t, Options{})
	one := Request{TTL: time.Minute, Group: b.Group("one")}
	two := Request{Key: key("two"), TTL: time.Minute, Group: b.Group("two")}
	u := &upstream{}
	b.get(u, one)
	b.get(u, two)
	b.Flush("one")
	status, _ := b.get(u, one)
	require.Equal(t, Miss, status)
	status, _ = b.get(u, two)
	require.Equal(t, Hit, status)

	// What was asked for before a flush is not stored after it.
	b.Flush("one")
	x := request()
	defer x.Release()
	one.Key = key("k")
	_, err := b.Serve(x, one, func() error { b.Flush("one"); return u.fetch(x)() })
	require.NoError(t, err)
	status, _ = b.get(u, one)
	require.Equal(t, Miss, status)
}

func TestInvalidate(t *testing.T) {
	b := newBench(t, Options{})
	r := Request{TTL: time.Minute}
	b.get(&upstream{body: "old"}, r)
	for _, line := range []string{"cache-control: no-cache", "cache-control: max-age=0"} {
		status, got := b.get(&upstream{body: "new"}, r, line)
		require.Equal(t, Hit, status, "a stranger empties no cache")
		require.Contains(t, got, "200 old ")
	}
	r.AllowInvalidate = true
	status, got := b.get(&upstream{body: "new"}, r, "cache-control: max-age=0")
	require.Equal(t, Miss, status)
	require.Equal(t, "200 new [wasmgate; fwd=request; stored]", got)
	_, got = b.get(&upstream{}, Request{TTL: time.Minute})
	require.Contains(t, got, "200 new ")
}

func TestBodiesBypass(t *testing.T) {
	b := newBench(t, Options{})
	x := request()
	defer x.Release()
	x.Body, x.BodyLength = strings.NewReader("poison"), 6
	u := &upstream{body: "poisoned"}
	status, err := b.Serve(x, Request{Key: key("k"), TTL: time.Minute}, u.fetch(x))
	require.NoError(t, err)
	require.Equal(t, Bypass, status)
	_, got := b.get(&upstream{body: "clean"}, Request{TTL: time.Minute})
	require.Contains(t, got, "200 clean ")
}

func TestStaleOnError(t *testing.T) {
	fail := &upstream{err: errors.New("refused")}
	for _, tt := range []struct {
		name  string
		lines []string
		after time.Duration
		with  *upstream
		want  Status
	}{
		{"error", nil, 90 * time.Second, fail, Stale},
		{"503", nil, 90 * time.Second, &upstream{status: 503}, Stale},
		{"404", nil, 90 * time.Second, &upstream{status: 404}, Miss},
		{"too late", nil, 120 * time.Second, fail, Miss},
		{"must-revalidate", []string{"cache-control: must-revalidate"}, 90 * time.Second, fail, Miss},
		{"s-maxage", []string{"cache-control: s-maxage=60"}, 90 * time.Second, fail, Miss},
		{"stale-if-error=0", []string{"cache-control: stale-if-error=0"}, 90 * time.Second, fail, Miss},
		{"stale-if-error=600", []string{"cache-control: stale-if-error=600"}, 600 * time.Second, fail, Stale},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Options{StaleOnError: time.Minute})
			r := Request{TTL: time.Minute}
			b.get(&upstream{body: "old", lines: tt.lines}, r)
			b.wait(tt.after)
			status, got := b.get(tt.with, r)
			require.Equal(t, tt.want, status, got)
			if status == Stale {
				require.Equal(t, fmt.Sprintf("200 old [wasmgate; fwd=stale; detail=stale-on-error; ttl=%d]",
					60-int(tt.after.Seconds())), got)
			}
		})
	}
}

func TestBrokenAndLongBodiesAreNotStored(t *testing.T) {
	for name, answer := range map[string]struct {
		stream io.Reader
		length int64
		fails  bool
	}{
		"shorter than announced":      {strings.NewReader("abc"), 4, true},
		"longer than announced":       {strings.NewReader("abcde"), 4, true},
		"breaks":                      {io.MultiReader(strings.NewReader("abc"), broken{}), 4, true},
		"breaks, length unknown":      {io.MultiReader(strings.NewReader("abc"), broken{}), -1, true},
		"too long":                    {bytes.NewReader(make([]byte, 101)), 101, false},
		"too long and length unknown": {bytes.NewReader(make([]byte, 101)), -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{MaxEntry: 100})
			x := request()
			defer x.Release()
			r := Request{Key: key("k"), TTL: time.Minute}
			_, err := b.Serve(x, r, func() error {
				x.Response.Status, x.Response.Length, x.Response.Stream = 200, answer.length, io.NopCloser(answer.stream)
				return nil
			})
			if err == nil && x.Response.Stream != nil {
				_, err = io.Copy(io.Discard, x.Response.Stream)
			}
			require.Equal(t, answer.fails, err != nil, err)
			status, _ := b.get(&upstream{}, r)
			require.Equal(t, Miss, status)
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestBytesAreBounded(t *testing.T) {
	b := newBench(t, Options{Bytes: 1 << 20})
	u := &upstream{body: strings.Repeat("x", 10_000), lines: []string{"x-a: " + strings.Repeat("y", 5000)}}
	for i := range 500 {
		b.get(u, Request{Key: key(fmt.Sprint(i)), TTL: time.Minute})
		require.LessOrEqual(t, b.Bytes(), int64(1<<20))
	}
	require.Greater(t, b.Bytes(), int64(1<<19))
}

func TestCloseWhileServing(t *testing.T) {
	c, err := New(Options{})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() { // owned by this test, which waits
			for i := range 500 {
				x := request()
				u := &upstream{body: "a"}
				_, err := c.Serve(x, Request{Key: key(fmt.Sprint(g, i)), TTL: time.Minute}, u.fetch(x))
				if err != nil {
					t.Error(err)
				}
				x.Release()
			}
		})
	}
	c.Close()
	c.Close()
	wg.Wait()
}

func BenchmarkHit(b *testing.B) {
	be := newBench(b, Options{})
	u := &upstream{body: strings.Repeat("x", 256), lines: []string{"content-type: a/b"}}
	x := request()
	fetch := u.fetch(x)
	r := Request{Key: key("k"), TTL: time.Minute}
	b.ReportAllocs()
	for b.Loop() {
		x.Response.Reset()
		if _, err := be.Serve(x, r, fetch); err != nil {
			b.Fatal(err)
		}
	}
}
