package main

import (
	"math"
	"strconv"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/json"
	"github.com/wasmgate/wasmgate/plugins/internal/template"
)

// limit is one bucket for each value of its key.
type limit struct {
	name  string
	rate  float64 // tokens a second
	burst uint64
	cost  uint64
	by    []string // route, api, gateway, or a selector

	// scoped: by says how far the limit reaches. Otherwise it is one API's: the ann of one
	// issuer is not the ann of another's.
	scoped bool
}

// policy is the decoded config.
type policy struct{ limits []limit }

// maxLimits is the ABI's max_buckets.
const maxLimits = 32

// decode reads a config.
func decode(text string) (*policy, error) {
	c := config.Parse("config", text)
	p := &policy{}
	if !c.Has("limits") {
		p.add(c, "limit")
		return p, c.Err()
	}
	list := c.Objects("limits")
	if len(list) < 1 || len(list) > maxLimits {
		c.Fail("limits", "got "+strconv.Itoa(len(list))+", want 1 to "+strconv.Itoa(maxLimits))
	}
	for i, o := range list {
		name := o.String("name", "limit"+strconv.Itoa(i))
		for _, other := range p.limits {
			if other.name == name {
				o.Fail("name", "two limits are named "+strconv.Quote(name))
			}
		}
		p.add(o, name)
	}
	return p, c.Err()
}

// maxTokens bounds rate, burst and cost, as the host does.
const maxTokens = 1e9

// add reads the limit in o.
func (p *policy) add(o *config.Object, name string) {
	if !o.Has("rate") {
		o.Fail("rate", "missing, want number")
	}
	seconds := 1.0
	switch o.OneOf("per", "second", "minute", "hour") {
	case "minute":
		seconds = 60
	case "hour":
		seconds = 3600
	}
	rate := o.Float("rate", 1, 0, maxTokens)
	l := limit{
		name:  name,
		rate:  rate / seconds,
		burst: uint64(o.Int("burst", int64(max(1, math.Ceil(rate))), 1, maxTokens)),
		cost:  uint64(o.Int("cost", 1, 1, maxTokens)),
		by:    by(o),
	}
	if l.cost > l.burst {
		o.Fail("cost", "is over burst, so that no request could ever pass")
	}
	for _, b := range l.by {
		l.scoped = l.scoped || b == "route" || b == "api" || b == "gateway"
	}
	p.limits = append(p.limits, l)
}

// by is what tells one bucket of a limit from another: one word or a list of them.
func by(o *config.Object) (keys []string) {
	v := o.Value("by")
	words := v.Items
	switch v.Kind {
	case 0:
		return []string{"caller"}
	case json.String:
		words = []json.Value{v}
	case json.Array:
		if len(words) == 0 || len(words) > 8 {
			o.Fail("by", "got "+strconv.Itoa(len(words))+" items, want 1 to 8")
		}
	}
	for i := range words {
		key, fault := key(words[i].Text)
		if words[i].Kind != json.String {
			fault = "got " + words[i].Kind.String() + ", want string"
		}
		if fault != "" {
			o.Fail("by", fault)
			continue
		}
		keys = append(keys, key)
	}
	if v.Kind != json.String && v.Kind != json.Array {
		o.Fail("by", "got "+v.Kind.String()+", want string or array")
	}
	return keys
}

func key(word string) (key, fault string) {
	switch word {
	case "identity":
		return "caller", ""
	case "address":
		return "source_network", ""
	case "api", "gateway":
		return word, ""
	}
	selector, fault := template.Selector(word, template.Request)
	if fault != "" {
		fault += ": want identity, address, route, api, gateway or a selector such as header.x-tenant"
	}
	return selector, fault
}
