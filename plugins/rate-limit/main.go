package main

import (
	"strings"

	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/throttle"
)

func init() {
	var p *policy
	configure.Handle(func(c configure.Config) (r configure.Result, err error) {
		if p, err = decode(string(c.Bytes)); err != nil {
			return r, err
		}
		switch {
		case p.identity:
			r.Identity = []string{"principal", "api_key_id", "source_ip"}
		case p.address:
			r.Identity = []string{"source_ip"}
		}
		return r, nil
	})
	throttle.Handle(func(r *throttle.Request) throttle.Result { return p.buckets(r) })
}

func main() {}

// buckets names the request's buckets. What they are keyed by is read from each request by
// the host, but for identity and address, which are worked out here once for each caller.
func (p *policy) buckets(r *throttle.Request) throttle.Result {
	list := make([]wasmgate.Bucket, len(p.limits))
	for i := range p.limits {
		l := &p.limits[i]
		var key []wasmgate.Value
		for _, by := range l.by {
			key = append(key, parts(by, r)...)
		}
		if !l.scoped {
			key = append(key, parts("api", r)...)
		}
		list[i] = wasmgate.Bucket{Name: l.name, Key: wasmgate.Concat(key...), Rate: l.rate, Burst: l.burst, Cost: l.cost}
	}
	result := throttle.Draw(list...)
	if p.identity || p.address {
		return result.ForIdentity(24 * wasmgate.Hour)
	}
	return result.ForRoute()
}

// parts is what one word of by adds to a bucket's key. The host hashes the parts as a
// tuple and each kind begins with its own word, so that no value can pose as another kind.
func parts(by string, r *throttle.Request) []wasmgate.Value {
	switch by {
	case "identity":
		if v := r.Principal(); v != "" {
			return []wasmgate.Value{wasmgate.Text("principal"), wasmgate.Text(v)}
		}
		if v := r.APIKeyID(); v != "" {
			return []wasmgate.Value{wasmgate.Text("api_key"), wasmgate.Text(v)}
		}
		return address(r.SourceIP())
	case "address":
		return address(r.SourceIP())
	case "gateway":
		return []wasmgate.Value{wasmgate.Text("gateway")}
	case "api":
		return []wasmgate.Value{wasmgate.Text("api"), wasmgate.Select("api_id"), wasmgate.Select("stage")}
	case "route":
		return []wasmgate.Value{wasmgate.Text("route"), wasmgate.Select("api_id"), wasmgate.Select("stage"), wasmgate.Select("route")}
	}
	return []wasmgate.Value{wasmgate.Text(by), wasmgate.Select(by)}
}

// address is the address of an IPv4 client, and the /64 of an IPv6 client: one customer
// has at least so many addresses, and would have as many buckets.
func address(ip string) []wasmgate.Value {
	if strings.IndexByte(ip, ':') >= 0 {
		ip = network(ip)
	}
	return []wasmgate.Value{wasmgate.Text("address"), wasmgate.Text(ip)}
}

// network is the first four groups of an IPv6 address in the host's canonical spelling
// (RFC 5952), with :: written out.
func network(ip string) string {
	head, tail, short := strings.Cut(ip, "::")
	groups := split(head)
	if short {
		after := split(tail)
		for len(groups) < 8-len(after) {
			groups = append(groups, "0")
		}
		groups = append(groups, after...)
	}
	if len(groups) < 4 {
		return ip
	}
	return strings.Join(groups[:4], ":") + "::/64"
}

func split(groups string) []string {
	if groups == "" {
		return nil
	}
	return strings.Split(groups, ":")
}
