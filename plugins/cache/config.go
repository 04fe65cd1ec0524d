package main

import (
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/field"
	"github.com/wasmgate/wasmgate/plugins/internal/template"
)

// policy is the decoded config.
type policy struct {
	ttl     uint64   // milliseconds; 0 is what the answer itself says
	key     []string // selectors
	params  []string // those of key that are query parameters
	methods []string
}

// maxKey leaves room for the path among the ABI's max_value_parts.
const maxKey = 60

// decode reads a config.
func decode(text string) (*policy, error) {
	c := config.Parse("config", text)
	p := &policy{ttl: uint64(c.Int("ttl_s", 0, 1, 86400)) * 1000, methods: c.Strings("methods")}
	if p.methods == nil {
		p.methods = []string{"GET", "HEAD"}
	}
	for _, m := range p.methods {
		if !field.IsToken(m) {
			c.Fail("methods", "got "+strconv.Quote(m)+", want methods such as GET")
		}
	}
	if !c.Has("key") { // nothing that the upstream sees of the URL is left out
		p.key = []string{"query"}
		return p, c.Err()
	}
	for i, word := range c.Strings("key") {
		keys, fault := part(word)
		if fault != "" {
			c.FailAt(c.Path("key")+"["+strconv.Itoa(i)+"]", fault)
		}
		p.key = append(p.key, keys...)
	}
	if len(p.key) > maxKey {
		c.Fail("key", "got "+strconv.Itoa(len(p.key))+" parts, want at most "+strconv.Itoa(maxKey))
	}
	for _, s := range p.key {
		if name, ok := strings.CutPrefix(s, "param."); ok {
			p.params = append(p.params, name)
		}
	}
	return p, c.Err()
}

// part is the selectors of one word of key: ours, or Amazon's of cacheKeyParameters.
func part(word string) (selectors []string, fault string) {
	if word == "identity" {
		return []string{"principal", "api_key_id"}, ""
	}
	word = strings.TrimPrefix(word, "method.request.")
	for _, alias := range [...]struct{ from, to string }{
		{"querystring.", "param."}, {"query.", "param."}, {"path.", "path_param."},
	} {
		if name, ok := strings.CutPrefix(word, alias.from); ok {
			word = alias.to + name
			break
		}
	}
	selector, fault := template.Selector(word, template.Request)
	return []string{selector}, fault
}
