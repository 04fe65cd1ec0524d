package host_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counting is an upstream whose every answer is another one. Its path says what else is in
// the answer.
func counting(t *testing.T) *upstream {
	var n atomic.Int64
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch r.URL.Path {
		case "/own":
			h.Set("Cache-Control", "max-age=1")
		case "/set-cookie":
			h.Set("Set-Cookie", "a=b")
		case "/no-store":
			h.Set("Cache-Control", "no-store")
		case "/private":
			h.Set("Cache-Control", "private, max-age=60")
		case "/vary-all":
			h.Set("Vary", "*")
		case "/vary":
			h.Set("Vary", "X-Kind")
		case "/public":
			h.Set("Cache-Control", "public, max-age=60")
		case "/etag":
			h.Set("Etag", `"v1"`)
			h.Set("Last-Modified", "Mon, 02 Nov 2026 10:00:00 GMT")
		case "/error":
			w.WriteHeader(500)
		}
		fmt.Fprint(w, n.Add(1))
	})
}

func cachedAPI(u string) string {
	cached := func(path, config, to string) string {
		return path + `: {x-amazon-apigateway-any-method: {` + policies(policy("cache", config)) + `, ` + proxy(u+to) + `}}`
	}
	return document(`x-wasmgate-api: {id: api}
x-wasmgate-keys: [{id: anna, value: `+annaKey+`}, {id: bert, value: `+bertKey+`}]`,
		cached("/r/{proxy+}", "{ttl_s: 60}", "/{proxy}"), cached("/own", "{}", "/own"), cached("/silent", "{}", "/silent"),
		cached("/keyed", "{ttl_s: 60, key: [query.page, header.accept-language, cookie.c]}", "/keyed"),
		cached("/{kind}/all", "{ttl_s: 60, key: [path_param.kind]}", "/x"),
		at("/mine", policies(policy("api-key", "{}"), policy("cache", "{ttl_s: 60, key: [identity]}")), proxy(u+"/mine")),
		at("/told", policies(policy("cache", "{ttl_s: 60}"), policy("transform", `{response: {headers: {set: {x-who: "${header.x-who}"}}}}`)), proxy(u+"/told")))
}

const annaKey, bertKey = "anna-0123456789-0123456789", "bert-0123456789-0123456789"

func TestCache(t *testing.T) {
	u := counting(t)
	g := start(t, files{"apis/a.yaml": cachedAPI(u.URL)})
	g.each(t, func(t *testing.T, c *http.Client) {
		own := "?" + t.Name() // the default key is the whole query
		first := get(t, c, site+"/r/x"+own)
		assert.Equal(t, "wasmgate; fwd=uri-miss; stored", first.Header.Get("Cache-Status"))
		asked := u.count()
		for range 5 {
			a := get(t, c, site+"/r/x"+own, "Cache-Control: no-cache", "Pragma: no-cache")
			assert.Equal(t, first.body, a.body)
			assert.Regexp(t, `^wasmgate; hit; ttl=(60|59|5\d)$`, a.Header.Get("Cache-Status"))
			assert.Regexp(t, `^\d+$`, a.Header.Get("Age"))
			assert.Equal(t, first.Header.Get("Content-Type"), a.Header.Get("Content-Type"))
			assert.NotEqual(t, first.Header.Get("X-Amzn-Requestid"), a.Header.Get("X-Amzn-Requestid"))
		}
		head := send(t, c, "HEAD", site+"/r/x"+own, "")
		assert.Equal(t, "1", head.Header.Get("Content-Length")[:1])
		assert.Contains(t, head.Header.Get("Cache-Status"), "hit")
		assert.Equal(t, asked, u.count())
		for _, other := range []string{"/r/y" + own, "/r/x" + own + "&z", "/r/x%20" + own} {
			assert.NotEqual(t, first.body, get(t, c, site+other).body, other)
		}
		assert.Equal(t, 504, get(t, c, site+"/r/never"+own, "Cache-Control: only-if-cached").StatusCode)
		for range 2 {
			assert.Equal(t, "wasmgate; fwd=bypass", send(t, c, "POST", site+"/r/x"+own, "").Header.Get("Cache-Status"))
		}
		assert.Equal(t, first.body, get(t, c, site+"/r/x"+own).body, "a POST through the plugin's bypass leaves the entry")
	})
	for status, least := range map[string]float64{"hit": 14, "miss": 8, "bypass": 4} {
		await(t, "every "+status+" is counted, which it is after its answer", func() bool {
			return g.metric("wasmgate_cache_requests_total", `status="`+status+`"`) >= least
		})
	}
	assert.Greater(t, g.metric("wasmgate_cache_bytes"), 0.0)
}

// What may not be shared is asked for each time.
func TestNeverCached(t *testing.T) {
	u := counting(t)
	g := start(t, files{"apis/a.yaml": cachedAPI(u.URL)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, tt := range []struct {
			name, path string
			fields     []string
		}{
			{"Set-Cookie", "/r/set-cookie", nil}, {"no-store", "/r/no-store", nil}, {"private", "/r/private", nil}, {"Vary: *", "/r/vary-all", nil},
			{"an error", "/r/error", nil}, {"no freshness", "/silent", nil}, {"credentials", "/r/x", []string{"Authorization: me"}},
			{"a range", "/r/range", []string{"Range: bytes=0-1"}}, {"client's no-store", "/r/quiet", []string{"Cache-Control: no-store"}},
			{"a parameter twice", "/keyed?page=1&page=2", nil},
		} {
			before := u.count()
			a, b := get(t, c, site+tt.path, tt.fields...), get(t, c, site+tt.path, tt.fields...)
			assert.NotEqual(t, a.body, b.body, tt.name)
			assert.NotContains(t, b.Header.Get("Cache-Status"), "hit", tt.name)
			assert.Equal(t, before+2, u.count(), tt.name)
		}
		a := get(t, c, site+"/r/public", "Authorization: me")
		assert.Equal(t, a.body, get(t, c, site+"/r/public", "Authorization: you").body, "its upstream says that everybody may have it")
	})
}

func TestCacheKeys(t *testing.T) {
	u := counting(t)
	g := start(t, files{"apis/a.yaml": cachedAPI(u.URL)})
	g.each(t, func(t *testing.T, c *http.Client) {
		lang := "Accept-Language: " + t.Name()
		base := get(t, c, site+"/keyed?page=1&noise=1", lang, "Cookie: c=1").body
		assert.Equal(t, base, get(t, c, site+"/keyed?noise=2&page=1&more", lang, "Cookie: x=y; c=1").body)
		assert.NotEqual(t, base, get(t, c, site+"/keyed?page=2", lang, "Cookie: c=1").body)
		assert.NotEqual(t, base, get(t, c, site+"/keyed?page=1", lang+"x", "Cookie: c=1").body)
		assert.NotEqual(t, base, get(t, c, site+"/keyed?page=1", lang, "Cookie: c=2").body)
		assert.NotEqual(t, get(t, c, site+"/keyed?page=", lang).body, get(t, c, site+"/keyed", lang).body, "empty is not absent")

		kind := "X-Kind: " + t.Name()
		varied := get(t, c, site+"/r/vary", kind).body
		assert.Equal(t, varied, get(t, c, site+"/r/vary", kind).body)
		assert.NotEqual(t, varied, get(t, c, site+"/r/vary", kind+"x").body)

		anna, bert := get(t, c, site+"/mine", "X-Api-Key: "+annaKey), get(t, c, site+"/mine", "X-Api-Key: "+bertKey)
		assert.NotEqual(t, anna.body, bert.body, "nobody gets what another was told")
		assert.Equal(t, anna.body, get(t, c, site+"/mine", "X-Api-Key: "+annaKey).body)
		isError(t, get(t, c, site+"/mine"), 403, "ForbiddenException", "Forbidden")

		told := get(t, c, site+"/told", "X-Who: anna")
		again := get(t, c, site+"/told", "X-Who: bert")
		assert.Equal(t, told.body, again.body)
		assert.Equal(t, "anna bert", told.Header.Get("X-Who")+" "+again.Header.Get("X-Who"), "what map_response says is not stored")
	})
}

func TestCacheLifetime(t *testing.T) {
	u := counting(t)
	g := start(t, files{"apis/a.yaml": cachedAPI(u.URL)})
	first := get(t, g.h1, site+"/own").body
	require.Equal(t, first, get(t, g.h2, site+"/own").body)
	await(t, "an answer of one second to end", func() bool { return get(t, g.h1, site+"/own").body != first })
}

func TestCacheConditional(t *testing.T) {
	u := counting(t)
	g := start(t, files{"apis/a.yaml": cachedAPI(u.URL)})
	g.each(t, func(t *testing.T, c *http.Client) {
		url := site + "/r/etag?" + t.Name()
		first := get(t, c, url, `If-None-Match: "v1"`)
		assert.Equal(t, 304, first.StatusCode, "the upstream is asked for all of it, the client gets what it wants")
		asked := u.count()
		assert.Empty(t, u.last(t).header.Get("If-None-Match"))
		for field, status := range map[string]int{`If-None-Match: "v1"`: 304, `If-None-Match: "v0", W/"v1"`: 304, `If-None-Match: *`: 304, `If-None-Match: "v2"`: 200,
			"If-Modified-Since: Mon, 02 Nov 2026 10:00:00 GMT": 304, "If-Modified-Since: Sun, 01 Nov 2026 10:00:00 GMT": 200} {
			a := get(t, c, url, field)
			assert.Equal(t, status, a.StatusCode, field)
			assert.Equal(t, `"v1"`, a.Header.Get("Etag"))
			assert.Equal(t, status == 304, a.body == "", field)
		}
		assert.Equal(t, asked, u.count())
	})
}

// Many clients that miss at once are one request to the upstream.
func TestCacheCoalesces(t *testing.T) {
	const clients = 30
	open := make(chan struct{})
	var asked atomic.Int64
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-open
		w.Header().Set("Content-Length", "100000") // nobody waits for an answer whose length is not known
		fmt.Fprint(w, strings.Repeat("x", 100_000))
	})
	g := start(t, files{"apis/a.yaml": cachedAPI(u.URL)})
	var statuses sync.Map
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			c := g.h1
			if i%2 == 0 {
				c = g.h2
			}
			a := get(t, c, site+"/r/slow")
			assert.Equal(t, 200, a.StatusCode)
			assert.Len(t, a.body, 100_000)
			statuses.Store(i, a.Header.Get("Cache-Status"))
		})
	}
	await(t, "the upstream to be asked", func() bool { return asked.Load() > 0 })
	close(open)
	group.Wait()
	assert.EqualValues(t, 1, asked.Load())
	misses := 0
	statuses.Range(func(_, status any) bool {
		if s := status.(string); !strings.Contains(s, "collapsed") && !strings.Contains(s, "hit") {
			misses++
		}
		return true
	})
	assert.Equal(t, 1, misses)
}

// A failed upstream is told to all who wait, and kept for nobody.
func TestCacheKeepsNoFailure(t *testing.T) {
	u := counting(t)
	g := start(t, files{"apis/a.yaml": document(`x-wasmgate-api: {id: api}`,
		at("/x", policies(policy("cache", "{ttl_s: 60}")), proxy("http://"+closedAddress(t))))})
	for range 2 {
		isError(t, get(t, g.h1, site+"/x"), 504, "InternalServerErrorException", "Network error communicating with endpoint")
	}
	g.update(files{"apis/a.yaml": document(`x-wasmgate-api: {id: api}`, at("/x", policies(policy("cache", "{ttl_s: 60}")), proxy(u.URL)))})
	began := time.Now()
	assert.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	assert.Less(t, time.Since(began), 10*time.Second)
}
