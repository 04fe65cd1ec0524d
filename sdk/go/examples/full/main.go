// Full takes part in every hook and uses every power, to show each package of the SDK once.
// Its config is a string: the name of the header that carries API keys, a blank, and the URL
// of the service that has the keys of tokens, knows which are active, and is the upstream.
package main

import (
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/authorize"
	"github.com/wasmgate/wasmgate/sdk/go/cachekey"
	"github.com/wasmgate/wasmgate/sdk/go/cap/crypto"
	"github.com/wasmgate/wasmgate/sdk/go/cap/http"
	"github.com/wasmgate/wasmgate/sdk/go/cap/jwks"
	"github.com/wasmgate/wasmgate/sdk/go/cap/kv"
	"github.com/wasmgate/wasmgate/sdk/go/cap/log"
	"github.com/wasmgate/wasmgate/sdk/go/cap/secret"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/guard"
	"github.com/wasmgate/wasmgate/sdk/go/identify"
	"github.com/wasmgate/wasmgate/sdk/go/integrate"
	"github.com/wasmgate/wasmgate/sdk/go/maprequest"
	"github.com/wasmgate/wasmgate/sdk/go/mapresponse"
	"github.com/wasmgate/wasmgate/sdk/go/observe"
	"github.com/wasmgate/wasmgate/sdk/go/throttle"
)

// lastFailure is where the store keeps the status of an upstream that is out of order.
const lastFailure = "full/last-failure"

// keyHeader and service are what configure set.
var keyHeader, service string

func init() {
	configure.Handle(setUp)
	guard.Handle(keepOut)
	authorize.Handle(checkToken)
	identify.Handle(func(*identify.Request) identify.Result {
		return identify.Key(wasmgate.Select("header." + keyHeader)).ForRoute()
	})
	throttle.Handle(func(*throttle.Request) throttle.Result {
		perAddress := wasmgate.Bucket{Name: "address", Key: wasmgate.Select("source_ip"), Rate: 0.1, Burst: 20, Cost: 1}
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
	integrate.Handle(callService)
	mapresponse.Handle(mapResponse)
	observe.Handle(func(r *observe.Request) observe.Result {
		return observe.Label(wasmgate.Pair{Name: "tenant", Value: r.Context().Get("tenant")})
	})
}

func setUp(c configure.Config) (configure.Result, error) {
	header, url, _ := strings.Cut(string(c.Bytes), " ")
	if header == "" || header != strings.ToLower(header) || !strings.HasPrefix(url, "http") {
		return configure.Result{}, errors.New("want the name of a header, lower case, and a URL")
	}
	keyHeader, service = header, url
	return configure.Result{Identity: []string{"header.authorization"}}, nil
}

// keepOut refuses the addresses that documents use (RFC 5737).
func keepOut(r *guard.Request) guard.Result {
	if strings.HasPrefix(r.SourceIP(), "192.0.2.") {
		return guard.Deny().Because("documentation address")
	}
	return guard.Allow()
}

// checkToken lets in whose token is signed and active. A real plugin checks the claims too.
func checkToken(r *authorize.Request) authorize.Result {
	token, ok := strings.CutPrefix(r.Header("authorization"), "Bearer ")
	if !ok {
		return authorize.Deny()
	}
	if err := jwks.Verify(service, token); err != nil {
		log.Warn("token refused: " + err.Error())
		return authorize.Deny().Because(err.Error())
	}
	answer, err := http.Do(http.Request{Method: "POST", URL: service + "/active", Body: []byte(token),
		Headers: []wasmgate.Pair{{Name: "content-type", Value: "application/jwt"}}})
	if err != nil {
		return authorize.Deny().Because("ask about token: " + err.Error())
	}
	if answer.Status != 200 {
		return authorize.Deny().Because("token is not active")
	}
	sum := crypto.SHA256([]byte(token))
	verdict := authorize.Allow("token:" + hex.EncodeToString(sum[:4])).ForIdentity(5 * wasmgate.Minute)
	verdict.Context = []wasmgate.Pair{{Name: "tenant", Value: string(answer.Body)}}
	return verdict
}

// mapRequest signs the path, and tells the upstream that it was out of order.
func mapRequest(r *maprequest.Request) maprequest.Result {
	if n, known := r.BodyLength(); known && n > 1000 {
		return maprequest.Reply(wasmgate.Answer{Status: 413, Body: []byte("too long\n")})
	}
	signature, err := crypto.HMACSHA256("signing", []byte(r.Path()))
	if err != nil {
		return maprequest.Reply(wasmgate.Answer{Status: 500, Body: []byte("not signed\n")}).Because("sign: " + err.Error())
	}
	edits := []wasmgate.Edit{
		wasmgate.SetHeader("x-principal", wasmgate.Select("principal")),
		wasmgate.RemoveHeader("authorization"),
		wasmgate.SetQuery("v", wasmgate.Text("2")),
		wasmgate.SetHeader("x-signature", wasmgate.Text(hex.EncodeToString(signature[:]))),
	}
	if status, err := kv.Get(nil, lastFailure); err == nil {
		edits = append(edits, wasmgate.SetHeader("x-last-failure", wasmgate.Text(string(status))))
	}
	return maprequest.Change(edits...)
}

// callService authenticates the gateway by a secret.
func callService(*integrate.Request) integrate.Result {
	key, err := secret.Get(nil, "upstream")
	if err != nil {
		return integrate.Reply(wasmgate.Answer{Status: 500, Body: []byte("no key\n")}).Because("read secret: " + err.Error())
	}
	call := integrate.Call(wasmgate.Concat(wasmgate.Text(service), wasmgate.Select("path")))
	call.Timeout = 5 * wasmgate.Second
	call.Edits = []wasmgate.Edit{wasmgate.SetHeader("x-upstream-key", wasmgate.Text(string(key)))}
	return call.ForRoute()
}

// mapResponse hides what an upstream that is out of order says, and remembers it.
func mapResponse(r *mapresponse.Request) mapresponse.Result {
	if r.Status() < 500 {
		if err := kv.Delete(lastFailure); err != nil {
			log.Warn("forget failure: " + err.Error())
		}
		return mapresponse.Result{}
	}
	if err := kv.Set(lastFailure, []byte(strconv.Itoa(int(r.Status()))), wasmgate.Minute); err != nil {
		log.Warn("remember failure: " + err.Error())
	}
	return mapresponse.Change(
		wasmgate.SetHeader("content-type", wasmgate.Text("text/plain")),
		wasmgate.SetBody(wasmgate.Text("out of order\n")))
}

func main() {}
