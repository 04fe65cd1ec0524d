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
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

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

// Age says that an answer was not made by the origin for this request (RFC 9111 5.1).
func TestAgeTellsOfACache(t *testing.T) {
	for _, test := range []struct {
		name string
		line string // of the upstream
		want []string
	}{
		{"origin", "x-a: b", []string{"", "3"}},
		{"another cache", "age: 7", []string{"7", "10"}},
		{"another cache, just now", "age: 0", []string{"0", "3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, Options{})
			u := &upstream{lines: []string{"cache-control: max-age=60", test.line}}
			for i, want := range test.want {
				x := request()
				status, err := b.Serve(x, Request{Key: key("k")}, u.fetch(x))
				require.NoError(t, err)
				require.Equal(t, []Status{Miss, Hit}[i], status)
				require.Equal(t, want, string(x.Response.Header.Get("age")))
				require.Equal(t, want != "", x.Response.Header.Has("age"))
				x.Release()
				b.wait(3 * time.Second)
			}
		})
	}
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

// An answer that trickles in holds nobody up: it is passed on as it comes.
func TestTricklingBodiesArePassedOn(t *testing.T) {
	b := newBench(t, Options{})
	x := request()
	defer x.Release()
	r := Request{Key: key("k"), TTL: time.Minute}
	reads := 0
	slow := iotest.OneByteReader(strings.NewReader("0123456789"))
	_, err := b.Serve(x, r, func() error {
		x.Response.Status, x.Response.Length = 200, 10
		x.Response.Stream = io.NopCloser(readerFunc(func(p []byte) (int, error) {
			reads++
			b.wait(2 * time.Second)
			return slow.Read(p)
		}))
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 3, reads)
	body, err := io.ReadAll(x.Response.Stream)
	require.NoError(t, err)
	require.Equal(t, "0123456789", string(body))
	status, _ := b.get(&upstream{}, r)
	require.Equal(t, Miss, status)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

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
