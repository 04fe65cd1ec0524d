package main

import (
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/guard"
)

func init() {
	var p *policy
	configure.Handle(func(c configure.Config) (r configure.Result, err error) {
		p, err = decode(string(c.Bytes))
		return configure.Result{Identity: []string{"source_ip"}}, err
	})
	guard.Handle(func(r *guard.Request) guard.Result {
		var result guard.Result // no opinion: other guards may still refuse
		if reason := p.refuses(r.SourceIP()); reason != "" {
			result = guard.Deny().Because(reason)
		}
		return result.ForIdentity(wasmgate.Hour)
	})
}

func main() {}
