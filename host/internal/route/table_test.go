package route

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/model"
)

// api is an API whose routes are "METHOD /path", which are their values, too.
func api(protocol model.Protocol, routes ...string) API[string] {
	a := API[string]{ID: "a", Protocol: protocol, Stage: "$default"}
	for _, key := range routes {
		method, path, _ := strings.Cut(key, " ")
		a.Routes = append(a.Routes, Route[string]{method, path, key})
	}
	return a
}

func build(t testing.TB, apis ...API[string]) *Table[string] {
	t.Helper()
	table, err := Build(apis, Options{})
	require.NoError(t, err)
	return table
}

const host1 = "a.execute-api.localhost"

// told is the result of a lookup in one line.
func told(table *Table[string], authority, method, target string) string {
	var m Match[string]
	switch r := table.Lookup(authority, method, target, &m); r {
	case Found:
		s := m.Route.Value
		for _, p := range m.Params() {
			s += " " + p.Name + "=" + p.Value
		}
		return s
	case NoRoute:
		if m.MethodMissing {
			return "no method"
		}
		return r.String()
	default:
		return r.String()
	}
}

func TestPrecedence(t *testing.T) {
	rest := build(t, api(model.REST, "GET /", "GET /pets", "POST /pets", "ANY /pets/{id}", "GET /pets/{id}", "GET /pets/mine",
		"ANY /{proxy+}", "GET /pets/{id}/{proxy+}", "GET /a/b/c", "GET /{x}/b/d", "PUT /a/{proxy+}", "GET /pets/{id}/toys/{toy}", "TRACE /trace"))
	http := build(t, api(model.HTTP, "GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "ANY $default",
		"GET /{x}/b", "GET /q/{proxy+}", "POST /pets", "ANY /pets/dog/any"))
	small := build(t, api(model.HTTP, "GET /pets", "POST /pets/{id}"))
	closed := build(t, api(model.REST, "GET /pets", "ANY /any"))
	for _, c := range []struct {
		table                *Table[string]
		method, target, want string
	}{
		{rest, "GET", "/", "GET /"},
		{rest, "GET", "/pets", "GET /pets"},
		{rest, "GET", "/pets/", "GET /pets"},
		{rest, "GET", "/pets/mine", "GET /pets/mine"},
		{rest, "POST", "/pets/mine", "ANY /pets/{id} id=mine"}, // the literal does not serve the verb
		{rest, "GET", "/pets/7", "GET /pets/{id} id=7"},
		{rest, "PATCH", "/pets/7", "ANY /pets/{id} id=7"},
		{rest, "PATCH", "/pets", "ANY /{proxy+} proxy=pets"},
		{rest, "GET", "/pets/7/toys/ball", "GET /pets/{id}/toys/{toy} id=7 toy=ball"},
		{rest, "GET", "/pets/7/toys", "GET /pets/{id}/{proxy+} id=7 proxy=toys"},
		{rest, "POST", "/pets/7/toys/ball", "ANY /{proxy+} proxy=pets/7/toys/ball"},
		{rest, "GET", "/a/b/d", "GET /{x}/b/d x=a"},
		{rest, "PUT", "/a/b/d", "PUT /a/{proxy+} proxy=b/d"},
		{rest, "GET", "/x/y/z/", "ANY /{proxy+} proxy=x/y/z"},
		{rest, "GET", "//pets", "GET /pets"}, // collapsed after the stage
		{rest, "POST", "/", "no method"},     // {proxy+} needs a segment
		{rest, "TRACE", "/trace", "TRACE /trace"},
		{rest, "TRACE", "/pets", "no method"}, // REST's ANY has no TRACE
		{rest, "QUERY", "/pets", "no method"},
		{rest, "get", "/pets", "no method"},
		{rest, "HEAD", "/pets", "ANY /{proxy+} proxy=pets"}, // GET does not imply HEAD
		{closed, "HEAD", "/pets", "no method"},
		{closed, "HEAD", "/any", "ANY /any"},
		{closed, "GET", "/nope", "no route"},
		{closed, "GET", "/pets/x", "no route"},
		{closed, "GET", "/pets//", "no route"},

		{http, "GET", "/pets/dog/1", "GET /pets/dog/1"},
		{http, "GET", "/pets/dog/2", "GET /pets/dog/{id} id=2"},
		{http, "GET", "/pets/dog/any", "ANY /pets/dog/any"},
		{http, "GET", "/pets/cat/3", "GET /pets/{proxy+} proxy=cat/3"},
		{http, "POST", "/test/5", "ANY /{proxy+} proxy=test/5"},
		{http, "GET", "/q/b", "GET /{x}/b x=q"}, // a full match wins over a greedy one
		{http, "GET", "/q/c", "GET /q/{proxy+} proxy=c"},
		{http, "POST", "/q/b", "ANY /{proxy+} proxy=q/b"},
		{http, "GET", "/", "ANY $default"},
		{http, "QUERY", "/pets", "ANY /{proxy+} proxy=pets"},
		{http, "POST", "/pets/", "POST /pets"},
		{small, "POST", "/pets", "no method"},
		{small, "POST", "/pets/1", "POST /pets/{id} id=1"},
		{small, "POST", "/x", "no route"},
	} {
		require.Equal(t, c.want, told(c.table, host1, c.method, c.target), "%s %s", c.method, c.target)
	}
}

func TestHosts(t *testing.T) {
	make := func(id, stage, base string, domains ...string) API[string] {
		return API[string]{ID: id, Stage: stage, BasePath: base, Domains: domains,
			Routes: []Route[string]{{"GET", "/", id + "/" + stage + " root"}, {"GET", "/{proxy+}", id + "/" + stage}}}
	}
	table := build(t,
		make("one", "prod", "", "api.example.com", "127.0.0.1"),
		make("one", "dev", "dev"),
		make("two", "$default", "shop/v1", "api.example.com", "*.example.com"),
		make("three", "$default", "shop", "api.example.com"),
		make("four", "x", "only", "only.example.com"),
		API[string]{ID: "web", Stage: "live", Protocol: model.HTTP, Routes: []Route[string]{{"GET", "/", "web root"}}})
	for _, c := range []struct{ authority, target, want string }{
		{"one.execute-api.localhost", "/prod", "one/prod root"},
		{"one.execute-api.localhost:8443", "/prod/", "one/prod root"},
		{"one.execute-api.localhost.:8443", "/prod/a", "one/prod proxy=a"},
		{"one.execute-api.localhost", "/dev/a", "one/dev proxy=a"},
		{"one.execute-api.localhost", "/product", "no api"},
		{"one.execute-api.localhost", "/", "no api"},
		{"one.execute-api.localhost", "/PROD/a", "no api"},
		{"two.execute-api.localhost", "/a", "two/$default proxy=a"},
		{"five.execute-api.localhost", "/a", "no api"},
		{"execute-api.localhost", "/a", "no api"},
		{"", "/a", "no api"},
		{"api.example.com", "/a", "one/prod proxy=a"},
		{"api.example.com", "/shop", "three/$default root"},
		{"api.example.com", "/shop/v1", "two/$default root"},
		{"api.example.com", "/shop/v1/x", "two/$default proxy=x"},
		{"api.example.com", "/shop/v12", "three/$default proxy=v12"},
		{"api.example.com", "/shopping", "one/prod proxy=shopping"},
		{"127.0.0.1:8443", "/a", "one/prod proxy=a"},
		{"[::1]:8443", "/a", "no api"},
		{"x.example.com", "/shop/v1/a", "two/$default proxy=a"},
		{"x.example.com", "/a", "no api"},
		{"y.x.example.com", "/shop/v1/a", "no api"},
		{"example.com", "/shop/v1/a", "no api"},
		{"only.example.com", "/only/a", "four/x proxy=a"},
		{"only.example.com", "/other", "no api"},
	} {
		require.Equal(t, c.want, told(table, c.authority, "GET", c.target), "%s%s", c.authority, c.target)
	}
	var m Match[string]
	require.Equal(t, NoRoute, table.Lookup("web.execute-api.localhost", "GET", "/nope/x", &m))
	require.Equal(t, "web", m.API.ID, "the API decides what an unmatched request is told")
	require.Equal(t, Found, table.Lookup("api.example.com", "GET", "/shop/v1//a%20b/", &m))
	require.Equal(t, "/a%20b/", m.Path)
	require.Equal(t, 2, m.Index)
	value, ok := m.Param("proxy")
	require.True(t, ok)
	require.Equal(t, "a%20b", value)
	_, ok = m.Param("other")
	require.False(t, ok)
}

// Spellings by which requests slip past the policies of a path, from threats that are
// known of other gateways. Each leads to /admin, or to no route at all.
func TestAmbiguousPaths(t *testing.T) {
	open := build(t, api(model.REST, "GET /admin", "ANY /admin/{proxy+}", "ANY /{proxy+}", "GET /files/{name}"))
	spellings := []string{"/%61dmin", "/%41dmin/../admin", "/admin%2fx", "/admin%2Fx", "/admin%5cx", "/admin\\x", "/x/../admin", "/./admin",
		"/%2e/admin", "/%2E%2e/admin", "/x/..%2fadmin", "/x/%2e%2e%5cadmin", "/..;/admin", "/x/..;a=b/admin", "/.%2e/admin", "/admin;a/x",
		"/admin;a", "/;/admin", "/x%2f..%2f..%2fadmin", "/%252e%252e/admin", "/%2561dmin", "/admin%00", "/admin%0a", "/admin%7f", "/admin\x01",
		"/admin%", "/admin%2", "/admin%zz", "/%c0%ae%c0%ae/admin", "/%c0%afadmin", "/%e0%80%af", "/%f0%80%80%af", "/admin?x", "/admin#x", "/..",
		"/x/..", "/.", "/x/.", "admin", "", "*", "/admin//x/..", "/%2525252525252561dmin", "/\\admin", "/x/%5c../admin", "/admin%3bx/y", "/ad min", "/admin%3fx", "/admin%23", "/admin%253Fx/y"}
	for _, s := range spellings {
		require.Equal(t, "bad path", told(open, host1, "GET", s), s)
	}
	for target, want := range map[string]string{
		"//admin":               "GET /admin",
		"///admin":              "GET /admin",
		"/admin//x":             "ANY /admin/{proxy+} proxy=/x",
		"/files//x":             "bad path", // a lax reader finds /files/{name}
		"/files/a%2fb":          "bad path",
		"/files/a%20b":          "GET /files/{name} name=a%20b",
		"/files/%C3%A9":         "GET /files/{name} name=%C3%A9",
		"/files/%7Eme":          "GET /files/{name} name=%7Eme",
		"/files/a;v=1":          "GET /files/{name} name=a;v=1",
		"/files/.hidden":        "GET /files/{name} name=.hidden",
		"/files/...":            "GET /files/{name} name=...",
		"/files/%e0%a4%b9":      "GET /files/{name} name=%e0%a4%b9",
		"/keys/a%2Fb%2fc":       "ANY /{proxy+} proxy=keys/a%2Fb%2fc",
		"/keys//b///c":          "ANY /{proxy+} proxy=keys//b///c",
		"/keys/100%25":          "ANY /{proxy+} proxy=keys/100%25",
		"/Admin":                "ANY /{proxy+} proxy=Admin",
		"/x/y;jsessionid=1/z":   "ANY /{proxy+} proxy=x/y;jsessionid=1/z",
		"/admin/a%2Fb":          "ANY /admin/{proxy+} proxy=a%2Fb",
		"/admin/" + "%25252525": "ANY /admin/{proxy+} proxy=%25252525",
	} {
		require.Equal(t, want, told(open, host1, "GET", target), target)
	}
	domain := api(model.REST, "ANY /{proxy+}")
	guarded := domain
	domain.Domains, guarded.Domains = []string{"d.example"}, []string{"d.example"}
	guarded.ID, guarded.BasePath = "b", "orders"
	table := build(t, domain, guarded)
	for _, target := range []string{"/orders%2fx", "/%6frders/x", "/orders;/x", "/orders\\x"} {
		require.Equal(t, "bad path", told(table, "d.example", "GET", target), target)
	}
	require.Equal(t, "bad path", told(table, "d.example", "GET", "//orders/x"), "another API's base path")
}

func TestBuildRefuses(t *testing.T) {
	base := func(id, base string) API[string] {
		return API[string]{ID: id, BasePath: base, Domains: []string{"d.example"}}
	}
	long := "GET /" + strings.Repeat("x/", 3)
	for i := range MaxParams + 1 {
		long += fmt.Sprintf("{v%d}/", i)
	}
	for want, apis := range map[string][]API[string]{
		`api "a" stage "$default": GET /a/{y}: the variable "y" beside "x"`:  {api(model.REST, "GET /a/{x}", "GET /a/{y}")},
		`api "a" stage "$default": PUT /a/{y+}: the variable "y" beside "x"`: {api(model.REST, "GET /a/{x+}", "PUT /a/{y+}")},
		`api "a" stage "$default": GET /a/{y}: it is there already`:          {api(model.HTTP, "GET /a/{x}", "GET /a/{y}")},
		`api "a" stage "$default": GET /a/: it is there already`:             {api(model.REST, "GET /a", "GET /a/")},
		`more than 16 variables`:                                   {api(model.REST, long)},
		`GET a: got "a", want a path that starts with /`:           {api(model.REST, "GET a")},
		`GET $default: want ANY, once`:                             {api(model.HTTP, "GET $default")},
		`$default: got "$default", want a path that starts with /`: {api(model.REST, "ANY $default")},
		`the address d.example/x of api "one"`:                     {base("one", "x"), base("two", "x")},
		`the address one.execute-api.localhost of api "one"`:       {base("one", "x"), base("one", "y")},
	} {
		_, err := Build(apis, Options{})
		require.ErrorContains(t, err, want)
	}
	_, err := Build([]API[string]{api(model.HTTP, "GET /a/{x}", "POST /a/{y}")}, Options{})
	require.NoError(t, err, "an HTTP API may name one place differently")
}

// many is n routes in 100 APIs, and a target for each.
func many(n int) (apis []API[string], hosts, targets []string) {
	for i := range 100 {
		a := API[string]{ID: fmt.Sprintf("api%d", i), Stage: "prod", Domains: []string{fmt.Sprintf("api%d.example.com", i)}}
		for j := range n / 100 {
			path := fmt.Sprintf("/service%d/things%d/{id}/parts/{part}", j%10, j)
			a.Routes = append(a.Routes, Route[string]{"GET", path, path})
			hosts = append(hosts, fmt.Sprintf("api%d.execute-api.localhost:8443", i))
			targets = append(targets, fmt.Sprintf("/prod/service%d/things%d/%d/parts/abc", j%10, j, j))
		}
		apis = append(apis, a)
	}
	return apis, hosts, targets
}

func TestLookupAllocatesNothing(t *testing.T) {
	apis, hosts, targets := many(1000)
	table := build(t, apis...)
	m := new(Match[string])
	i := 0
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if table.Lookup(hosts[i], "GET", targets[i], m) != Found {
			panic(targets[i])
		}
		i = (i + 1) % len(hosts)
	}))
}

// random is the time of lookups in shuffled order. A real target was just read from a
// socket, so it is in the cache and the table is not: each batch of requests is copied into
// one buffer before its time is taken. Half of the batches took less than what it reports,
// because on a shared machine the mean tells of the neighbours.
func random(b *testing.B, table *Table[string], hosts, targets []string) {
	const batch = 256
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(targets))
	var spent []time.Duration
	var buffer []byte
	var requests [batch]struct{ host, target string }
	m := new(Match[string])
	for round := 0; b.Loop(); round++ {
		buffer = buffer[:0]
		for i := range batch {
			at := order[(round*batch+i)%len(order)]
			buffer = append(append(buffer, hosts[at]...), targets[at]...)
		}
		text := string(buffer)
		for i := range batch {
			at := order[(round*batch+i)%len(order)]
			host := len(hosts[at])
			end := host + len(targets[at])
			requests[i].host, requests[i].target, text = text[:host], text[host:end], text[end:]
		}
		start := time.Now()
		for i := range requests {
			if r := &requests[i]; table.Lookup(r.host, "GET", r.target, m) != Found {
				b.Fatal(r.target)
			}
		}
		spent = append(spent, time.Since(start))
	}
	slices.Sort(spent)
	b.ReportMetric(float64(spent[len(spent)/2].Nanoseconds())/batch, "ns/lookup")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		apis, hosts, targets := many(n)
		table := build(b, apis...)
		m := new(Match[string])
		b.Run(fmt.Sprintf("routes=%d/random", n), func(b *testing.B) { random(b, table, hosts, targets) })
		for name, at := range map[string]int{"first": 0, "last": n - 1} {
			b.Run(fmt.Sprintf("routes=%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					table.Lookup(hosts[at], "GET", targets[at], m)
				}
			})
		}
		b.Run(fmt.Sprintf("routes=%d/ambiguous", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup(hosts[0], "GET", targets[0]+"%2d", m)
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			apis, _, _ := many(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Build(apis, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
