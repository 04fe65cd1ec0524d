// Introspect is an authorizer that asks an authorization server about opaque tokens
// (RFC 7662) and keeps the answer in the host for a minute. Its config is the URL of the
// introspection endpoint; the secret "introspection" authenticates it there.
package main

import (
	"encoding/hex"
	"strings"

	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/authorize"
	"github.com/wasmgate/wasmgate/sdk/go/cap/crypto"
	"github.com/wasmgate/wasmgate/sdk/go/cap/http"
	"github.com/wasmgate/wasmgate/sdk/go/cap/kv"
	"github.com/wasmgate/wasmgate/sdk/go/cap/secret"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
)

var endpoint string

func init() {
	configure.Handle(func(c configure.Config) (configure.Result, error) {
		endpoint = string(c.Bytes)
		return configure.Result{}, nil
	})
	authorize.Handle(check)
}

func check(r *authorize.Request) authorize.Result {
	token, ok := strings.CutPrefix(r.Header("authorization"), "Bearer ")
	if !ok || strings.ContainsAny(token, "&=%+ ") {
		return authorize.Deny()
	}
	// The key is signed, so that who can read the store cannot try tokens against it.
	sum, err := crypto.HMACSHA256("introspection", []byte(token))
	if err != nil {
		return authorize.Deny().Because("sign token: " + err.Error())
	}
	key := "token/" + hex.EncodeToString(sum[:])
	answer, err := kv.Get(nil, key)
	if err == wasmgate.ErrNotFound {
		if answer, err = ask(token); err == nil {
			err = kv.Set(key, answer, wasmgate.Minute)
		}
	}
	if err != nil {
		return authorize.Deny().Because("ask about token: " + err.Error())
	}
	if string(answer) != "active" {
		return authorize.Deny().Because("token is not active")
	}
	return authorize.Allow("token")
}

// ask gives "active" or "inactive". A real plugin parses the JSON.
func ask(token string) ([]byte, error) {
	password, err := secret.Get(nil, "introspection")
	if err != nil {
		return nil, err
	}
	answer, err := http.Do(http.Request{
		Method: "POST",
		URL:    endpoint,
		Headers: []wasmgate.Pair{
			{Name: "content-type", Value: "application/x-www-form-urlencoded"},
			{Name: "authorization", Value: "Bearer " + string(password)},
		},
		Body: []byte("token=" + token),
	})
	if err != nil {
		return nil, err
	}
	if answer.Status == 200 && strings.Contains(string(answer.Body), `"active":true`) {
		return []byte("active"), nil
	}
	return []byte("inactive"), nil
}

func main() {}
