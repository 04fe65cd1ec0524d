// Full takes part in every hook, to show each package of the SDK once. Its config is a
// string: the name of the header that carries API keys.
package main

import (
	"encoding/hex"
	"errors"
	"strings"

	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/authorize"
	"github.com/wasmgate/wasmgate/sdk/go/cachekey"
	"github.com/wasmgate/wasmgate/sdk/go/cap/crypto"
	"github.com/wasmgate/wasmgate/sdk/go/cap/jwks"
	"github.com/wasmgate/wasmgate/sdk/go/cap/log"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/guard"
	"github.com/wasmgate/wasmgate/sdk/go/identify"
	"github.com/wasmgate/wasmgate/sdk/go/integrate"
	"github.com/wasmgate/wasmgate/sdk/go/maprequest"
	"github.com/wasmgate/wasmgate/sdk/go/mapresponse"
	"github.com/wasmgate/wasmgate/sdk/go/observe"
	"github.com/wasmgate/wasmgate/sdk/go/throttle"
)

const issuer = "https://id.example"

// keyHeader is what configure set.
var keyHeader string

func init() {
	configure.Handle(setUp)
	guard.Handle(keepOut)
	authorize.Handle(checkToken)
	identify.Handle(func(*identify.Request) identify.Result {
		return identify.Key(wasmgate.Select("header." + keyHeader)).ForRoute()
	})
	throttle.Handle(func(*throttle.Request) throttle.Result {
		perAddress := wasmgate.Bucket{Name: "address", Key: wasmgate.Select("source_ip"), Rate: 10, Burst: 20, Cost: 1}
		all := wasmgate.Bucket{Name: "all", Rate: 1000, Burst: 2000, Cost: 1}
		return throttle.Draw(perAddress, all).ForRoute()
	})
	maprequest.Handle(mapRequest)
	cachekey.Handle(func(r *cachekey.Request) cachekey.Result {
		if r.Method() != "GET" {
			return cachekey.Bypass()
		}
		return cachekey.Key(wasmgate.Minute, wasmgate.Select("path"), wasmgate.Select("param.page"))
	})
	integrate.Handle(func(*integrate.Request) integrate.Result {
		call := integrate.Call(wasmgate.Concat(wasmgate.Text("https://up.example"), wasmgate.Select("path")))
		call.Timeout = 5 * wasmgate.Second
		return call.ForRoute()
	})
	mapresponse.Handle(func(r *mapresponse.Request) mapresponse.Result {
		if r.Status() < 500 {
			return mapresponse.Result{}
		}
		return mapresponse.Change(
			wasmgate.SetHeader("content-type", wasmgate.Text("text/plain")),
			wasmgate.SetBody(wasmgate.Text("out of order\n")))
	})
	observe.Handle(func(r *observe.Request) observe.Result {
		return observe.Label(wasmgate.Pair{Name: "tenant", Value: r.Context().Get("tenant")})
	})
}

func setUp(c configure.Config) (configure.Result, error) {
	keyHeader = string(c.Bytes)
	if keyHeader == "" || keyHeader != strings.ToLower(keyHeader) {
		return configure.Result{}, errors.New("want the name of a header, lower case")
	}
	return configure.Result{Identity: []string{"header.authorization"}}, nil
}

// keepOut refuses the addresses that documents use (RFC 5737).
func keepOut(r *guard.Request) guard.Result {
	if strings.HasPrefix(r.SourceIP(), "192.0.2.") {
		return guard.Deny().Because("documentation address")
	}
	return guard.Allow()
}

// checkToken lets in whose token is signed. A real plugin checks the claims too.
func checkToken(r *authorize.Request) authorize.Result {
	token, ok := strings.CutPrefix(r.Header("authorization"), "Bearer ")
	if !ok {
		return authorize.Deny()
	}
	if err := jwks.Verify(issuer, token); err != nil {
		log.Warn("token refused: " + err.Error())
		return authorize.Deny().Because(err.Error())
	}
	sum := crypto.SHA256([]byte(token))
	verdict := authorize.Allow("token:" + hex.EncodeToString(sum[:4])).ForIdentity(5 * wasmgate.Minute)
	verdict.Context = []wasmgate.Pair{{Name: "tenant", Value: r.StageVariable("tenant")}}
	return verdict
}

func mapRequest(r *maprequest.Request) maprequest.Result {
	if n, known := r.BodyLength(); known && n > 1000 {
		return maprequest.Reply(wasmgate.Answer{Status: 413, Body: []byte("too long\n")})
	}
	return maprequest.Change(
		wasmgate.SetHeader("x-principal", wasmgate.Select("principal")),
		wasmgate.RemoveHeader("authorization"),
		wasmgate.SetQuery("v", wasmgate.Text("2")))
}

func main() {}
