package cache

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

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
