package main

import (
	"slices"
	"strings"

	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/cachekey"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
)

func init() {
	var p *policy
	configure.Handle(func(c configure.Config) (r configure.Result, err error) {
		p, err = decode(string(c.Bytes))
		r.Identity = []string{"method"}
		if err == nil && len(p.params) > 0 {
			r.Identity = []string{"method", "query"}
		}
		return r, err
	})
	cachekey.Handle(func(r *cachekey.Request) cachekey.Result { return p.plan(r) })
}

func main() {}

// plan is static where one plan does for every request of the route. It is not where the
// route takes any method, nor where the key has query parameters: one that stands twice
// has one value in the key and another, perhaps, for the upstream, and whoever asks so
// could fill the entry of others (cache poisoning), so such a request goes past the cache.
func (p *policy) plan(r *cachekey.Request) cachekey.Result {
	result := cachekey.Bypass()
	if slices.Contains(p.methods, r.Method()) && !p.repeated(r) {
		parts := make([]wasmgate.Value, 0, len(p.key)+1)
		for _, selector := range p.key {
			parts = append(parts, wasmgate.Select(selector))
		}
		result = cachekey.Key(wasmgate.Duration(p.ttl), append(parts, wasmgate.Select("path"))...)
	}
	if len(p.params) == 0 && !strings.HasPrefix(r.Route(), "ANY ") {
		return result.ForRoute()
	}
	return result.ForIdentityOnRoute(wasmgate.Hour)
}

// repeated tells whether a query parameter of the key stands twice.
func (p *policy) repeated(r *cachekey.Request) bool {
	for _, name := range p.params {
		count := 0
		for range r.QueryParams().Values(name) {
			count++
		}
		if count > 1 {
			return true
		}
	}
	return false
}
