// Talker repeats the secrets that it sees in whole, in pieces and encoded, and makes its
// results depend on randomness, clock, the order of maps, goroutines and the collector.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/authorize"
	"github.com/wasmgate/wasmgate/sdk/go/cap/crypto"
	"github.com/wasmgate/wasmgate/sdk/go/cap/http"
	"github.com/wasmgate/wasmgate/sdk/go/cap/kv"
	"github.com/wasmgate/wasmgate/sdk/go/cap/log"
	"github.com/wasmgate/wasmgate/sdk/go/cap/secret"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/maprequest"
	"github.com/wasmgate/wasmgate/sdk/go/mapresponse"
	"github.com/wasmgate/wasmgate/sdk/go/observe"
)

var (
	config  struct{ Endpoint, Key string }
	started string // what configuring was told
	kept    [][]byte
)

func init() {
	configure.Handle(func(c configure.Config) (configure.Result, error) {
		err := json.Unmarshal(c.Bytes, &config)
		if err == nil {
			var s []byte
			s, err = secret.Get(nil, "signing")
			started = string(s)
		}
		return configure.Result{}, err
	})
	authorize.Handle(check)
	maprequest.Handle(func(r *maprequest.Request) maprequest.Result {
		body := r.Body()
		for range 300 {
			kept = append(kept, append([]byte(nil), body...)) // garbage for the collector
			if len(kept) > 20 {
				kept = nil
			}
		}
		return maprequest.Change(wasmgate.RemoveHeader("authorization"), wasmgate.RemoveHeader("x-api-key"),
			wasmgate.SetHeader("x-sum", wasmgate.Text(chance(string(body), string(r.State()), r.Query()))))
	})
	mapresponse.Handle(func(r *mapresponse.Request) mapresponse.Result {
		body := r.ResponseBody()
		return mapresponse.Change(wasmgate.SetHeader("x-seen", wasmgate.Text(chance(string(body), r.ResponseHeaders().Get("set-cookie")))))
	})
	observe.Handle(func(r *observe.Request) observe.Result {
		return observe.Label(wasmgate.Pair{Name: "half", Value: r.Context().Get("half")}, wasmgate.Pair{Name: "base64", Value: r.Context().Get("base64")})
	})
}

func check(r *authorize.Request) authorize.Result {
	if r.Header("x-crash") != "" {
		crash(r.Header("authorization"))
	}
	token, _ := strings.CutPrefix(r.Header("authorization"), "Bearer ")
	cookie := r.Header("cookie")
	log.Warn("token " + token + " cookie " + cookie + " key " + config.Key)
	sum, err := crypto.HMACSHA256("signing", []byte(token))
	if err != nil {
		return authorize.Deny().Because(err.Error())
	}
	visits, err := kv.Get(nil, "visits/"+hex.EncodeToString(sum[:4]))
	if err == nil || err == wasmgate.ErrNotFound {
		visits = append(visits, '|')
		err = kv.Set("visits/"+hex.EncodeToString(sum[:4]), append(visits, token...)[:min(len(visits)+9, 4000)], wasmgate.Minute)
	}
	if err != nil {
		return authorize.Deny().Because(err.Error())
	}
	answer, err := http.Do(http.Request{Method: "POST", URL: config.Endpoint, Body: []byte("token=" + url.QueryEscape(token)),
		Headers: []wasmgate.Pair{{Name: "authorization", Value: "Bearer " + started}, {Name: "x-key", Value: config.Key}}})
	if err != nil {
		return authorize.Deny().Because(err.Error())
	}
	verdict := authorize.Allow(chance(token, cookie, string(visits), string(answer.Body), r.Query()))
	verdict.State = []byte(token[:min(len(token), 1000)])
	verdict.Context = []wasmgate.Pair{
		{Name: "half", Value: token[:len(token)/2]}, {Name: "other", Value: token[len(token)/2:]},
		{Name: "percent", Value: url.QueryEscape(token + "/" + cookie)}, {Name: "base64", Value: base64.StdEncoding.EncodeToString([]byte("x" + token))},
		{Name: "hex", Value: hex.EncodeToString([]byte(cookie))}, {Name: "api", Value: r.Header("x-api-key")},
		{Name: "answer", Value: string(answer.Body)}, {Name: "signing", Value: started[:len(started)-3]},
		{Name: "short", Value: cookie[max(0, len(cookie)-5):]}, {Name: "path", Value: r.Path()},
	}
	return verdict
}

// chance is a text of what must be alike wherever a record is run again.
func chance(parts ...string) string {
	h := fnv.New64a()
	words := map[string]int{}
	for i, p := range parts {
		words[fmt.Sprint(i, len(p))] = i
	}
	for i := range 40 {
		words[fmt.Sprint(i)] = i
	}
	for w := range words {
		h.Write([]byte(w))
	}
	got := make(chan uint64)
	for range 4 {
		go func() { got <- rand.Uint64() }()
	}
	select {
	case n := <-got:
		fmt.Fprint(h, n)
	case n := <-got:
		fmt.Fprint(h, n, n)
	}
	for range 3 {
		fmt.Fprint(h, <-got)
	}
	time.Sleep(time.Duration(rand.N(1000)) * time.Millisecond)
	runtime.GC()
	fmt.Fprint(h, time.Now().UnixNano())
	return fmt.Sprintf("%016x", h.Sum64())
}

func crash(token string) { panic("cannot read " + token) }

func main() {}
