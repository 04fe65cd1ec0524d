package main

import (
	"math"
	"strings"

	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/authorize"
	"github.com/wasmgate/wasmgate/sdk/go/cap/jwks"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
)

func init() {
	var p *policy
	configure.Handle(func(c configure.Config) (r configure.Result, err error) {
		if p, err = decode(string(c.Bytes)); err != nil {
			return r, err
		}
		return configure.Result{Identity: []string{p.identity()}}, nil
	})
	authorize.Handle(func(r *authorize.Request) authorize.Result { return p.authorize(r) })
}

func main() {}

// badSignature is how long the verdict on a forged signature holds: long enough that
// repeating a token costs no public-key arithmetic, short enough for a key that was
// published late.
const badSignature = 10 * wasmgate.Second

func (p *policy) authorize(r *authorize.Request) authorize.Result {
	compact, count := p.credential(r)
	switch {
	case count > 1: // two readers of the request could see two callers
		return invalid(fault{descInvalid, "the request carries more than one token"})
	case compact == "":
		return challenge(`Bearer`).Because("the request carries no token")
	case len(compact) > maxToken:
		return invalid(fault{descInvalid, "the token is longer than 8 KiB"})
	}
	t, reason := parseToken(compact)
	if reason != "" {
		return invalid(fault{descInvalid, reason})
	}
	now := float64(r.TimeMS()) / 1000
	expires, f := p.checkDates(&t.claims, now)
	if f.reason != "" {
		return invalid(f)
	}
	if reason := p.checkIssuer(&t.claims); reason != "" {
		return invalid(fault{descInvalid, reason})
	}
	if err := jwks.Verify(p.keys, compact); err != nil {
		return refused(err)
	}
	hold := wasmgate.Duration(math.Min(p.cacheTTL, expires-now) * 1000)
	return p.verdict(&t).ForIdentity(hold)
}

// verdict is what holds for a genuine token as long as it lasts.
func (p *policy) verdict(t *token) authorize.Result {
	if !p.hasScope(&t.claims) {
		result := authorize.Forbid().Because("the token has none of the scopes that are wanted")
		result.Answer.Headers = header(`Bearer scope="` + strings.Join(p.scopes, " ") + `" error="insufficient_scope"`)
		return result
	}
	if name := p.missingClaim(&t.claims); name != "" {
		return authorize.Forbid().Because("the token does not have the required claim " + name)
	}
	sub := t.claims.Get("sub")
	result := authorize.Allow(sub.Text)
	result.Context = p.contextValues(&t.claims)
	return result
}

// refused is the answer to a signature that was not verified. Only a wrong one is
// remembered: an unknown key may be published, and an identity provider come back.
func refused(err error) authorize.Result {
	switch err {
	case wasmgate.ErrInvalid:
		return invalid(fault{descInvalid, "the signature is wrong"}).ForIdentity(badSignature)
	case wasmgate.ErrNotFound:
		return invalid(fault{descInvalid, "the key set has no such key"})
	case wasmgate.ErrUnavailable, wasmgate.ErrTimeout:
		return failed(503, "the key set cannot be had: "+err.Error())
	}
	return failed(500, "the signature cannot be verified: "+err.Error())
}

// failed is no verdict on the token: the client may come again with it.
func failed(status int, reason string) authorize.Result {
	result := authorize.Deny().Because(reason)
	result.Answer.Status = status
	return result
}

// invalid is Amazon's answer to a token that it does not take.
func invalid(f fault) authorize.Result {
	return challenge(`Bearer scope="" error="invalid_token" error_description="` + f.description + `"`).Because(f.reason)
}

func challenge(value string) authorize.Result {
	result := authorize.Deny()
	result.Answer.Headers = header(value)
	return result
}

func header(challenge string) []wasmgate.Pair {
	return []wasmgate.Pair{{Name: "www-authenticate", Value: challenge}}
}

// credential is the token in the request, and how many stand where it is looked for.
func (p *policy) credential(r *authorize.Request) (compact string, count int) {
	switch p.source {
	case "header":
		for value := range r.Headers().Values(p.name) {
			compact = carried(value)
			count++
		}
	case "param":
		for value := range r.QueryParams().Values(p.name) {
			compact = value
			count++
		}
	case "cookie":
		for line := range r.Headers().Values("cookie") {
			for pair := range strings.SplitSeq(line, ";") {
				if name, value, ok := strings.Cut(strings.TrimLeft(pair, " \t"), "="); ok && name == p.name {
					compact = value
					count++
				}
			}
		}
	}
	return compact, count
}
