package main

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/throttle"
)

func init() {
	var plan throttle.Result
	configure.Handle(func(c configure.Config) (r configure.Result, err error) {
		p, err := decode(string(c.Bytes))
		if err == nil {
			plan = p.plan()
		}
		return r, err
	})
	throttle.Handle(func(*throttle.Request) throttle.Result { return plan })
}

func main() {}

// plan names the buckets, once for all requests: the host reads from each what it is keyed by.
func (p *policy) plan() throttle.Result {
	list := make([]wasmgate.Bucket, len(p.limits))
	for i := range p.limits {
		l := &p.limits[i]
		var key []wasmgate.Value
		for _, by := range l.by {
			key = append(key, parts(by)...)
		}
		if !l.scoped {
			key = append(key, parts("api")...)
		}
		list[i] = wasmgate.Bucket{Name: l.name, Key: wasmgate.Concat(key...), Rate: l.rate, Burst: l.burst, Cost: l.cost}
	}
	return throttle.Draw(list...).ForRoute()
}

// parts is what one word of by adds to a bucket's key. The host hashes the parts as a
// tuple and each kind begins with its own word, so that no value can pose as another kind.
func parts(by string) []wasmgate.Value {
	key := []wasmgate.Value{wasmgate.Text(by)}
	switch by {
	case "gateway":
		return key
	case "api":
		return append(key, wasmgate.Select("api_id"), wasmgate.Select("stage"))
	case "route":
		return append(key, wasmgate.Select("api_id"), wasmgate.Select("stage"), wasmgate.Select("route"))
	}
	return append(key, wasmgate.Select(by))
}
