package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/tokens.json anew from the table here")

// Every case happens at Unix second 1800000000.
const (
	rs256 = `{"alg":"RS256","kid":"k1"}`
	plain = `{"issuer":"https://id.example/","audience":["api"]}`
	good  = `{"iss":"https://id.example/","aud":"api","sub":"ann","exp":1800001000}`
	// What the client is told.
	invalidToken = `"headers":[["www-authenticate","Bearer scope=\"\" error=\"invalid_token\" error_description=\"the token is not valid\""]]`
	expiredToken = `"headers":[["www-authenticate","Bearer scope=\"\" error=\"invalid_token\" error_description=\"the token has expired\""]]`
	earlyToken   = `"headers":[["www-authenticate","Bearer scope=\"\" error=\"invalid_token\" error_description=\"the token is not valid yet\""]]`
	allowed      = `{"decision":"allow","scope":"identity","ttl_ms":300000,"principal":"ann",`
	goodContext  = `"context":[["claims.iss","https://id.example/"],["claims.aud","api"],["claims.sub","ann"],["claims.exp","1800001000"]]}`
)

// refusal is a deny that is not remembered, with what the client is told and why.
func refusal(told, reason string) string {
	return `{"decision":"deny",` + told + `,"reason":` + quote(reason) + `}`
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// compact is an unsigned token: the case's host says what its signature is worth.
func compact(header, claims string) string {
	return b64(header) + "." + b64(claims) + "." + b64("signature")
}

// tokenCase is one row; empty parts have defaults.
type tokenCase struct {
	name    string
	config  string // plain
	header  string // rs256
	claims  string // good
	token   string // made from header and claims
	request string // the token as a bearer token
	jwks    string // ok
	want    string // JSON of the result
}

func (c tokenCase) write(out *bytes.Buffer) {
	or := func(s, missing string) string {
		if s == "" {
			return missing
		}
		return s
	}
	token := or(c.token, compact(or(c.header, rs256), or(c.claims, good)))
	request := or(c.request, `"headers":{"authorization":`+quote("Bearer "+token)+`}`)
	request = strings.ReplaceAll(request, "TOKEN", token)
	out.WriteString(" {\n  \"name\": " + quote(c.name) + ",\n  \"hook\": \"authorize\",\n  \"config\": " + or(c.config, plain) +
		",\n  \"request\": {\"time_ms\":1800000000000," + request + "},\n")
	if jwks := or(c.jwks, "ok"); jwks != "none" {
		out.WriteString("  \"host\": {\"jwks\":[{\"url\":\"https://id.example/\",\"status\":" + quote(jwks) + "}]},\n")
	}
	out.WriteString("  \"result\": " + c.want + "\n }")
}

// TestTokens keeps testdata/tokens.json, which TestCases runs here and the host's tests run
// against the Wasm build, equal to the table below.
func TestTokens(t *testing.T) {
	var out bytes.Buffer
	out.WriteString("{\"cases\": [\n")
	for i, c := range append(append(tokenCases(), claimCases()...), carrierCases()...) {
		if i > 0 {
			out.WriteString(",\n")
		}
		c.write(&out)
	}
	out.WriteString("\n]}\n")
	const path = "testdata/tokens.json"
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, out.Bytes()) {
		t.Fatal("testdata/tokens.json is not what the table makes: go test ./jwt -update")
	}
}

// tokenCases is about the form of a token and its signature.
func tokenCases() []tokenCase {
	bad := func(name, token, reason string) tokenCase {
		return tokenCase{name: name, token: token, jwks: "none", want: refusal(invalidToken, reason)}
	}
	head := func(name, header, reason string) tokenCase {
		return tokenCase{name: name, header: header, jwks: "none", want: refusal(invalidToken, reason)}
	}
	const alg = "alg is none that is accepted"
	h, p, s := b64(rs256), b64(good), b64("signature")
	return []tokenCase{
		{name: "a good token", want: allowed + goodContext},
		{name: "ES256", header: `{"alg":"ES256"}`, want: allowed + goodContext},
		{name: "PS512", header: `{"alg":"PS512","typ":"JWT"}`, want: allowed + goodContext},
		{name: "EdDSA", header: `{"alg":"EdDSA"}`, want: allowed + goodContext},
		{name: "a forged signature is remembered shortly", jwks: "invalid",
			want: `{"decision":"deny","scope":"identity","ttl_ms":10000,` + invalidToken + `,"reason":"the signature is wrong"}`},
		{name: "an unknown key is not remembered: it may be published", jwks: "not_found", want: refusal(invalidToken, "the key set has no such key")},
		{name: "no key set: come again", jwks: "unavailable", want: `{"decision":"deny","status":503,"reason":"the key set cannot be had: unavailable"}`},
		{name: "a slow key set: come again", jwks: "timeout", want: `{"decision":"deny","status":503,"reason":"the key set cannot be had: timeout"}`},
		{name: "a key set that is not granted", jwks: "none", want: `{"decision":"deny","status":500,"reason":"the signature cannot be verified: not granted"}`},
		head("alg none", `{"alg":"none"}`, alg),
		head("alg None", `{"alg":"None"}`, alg),
		head("alg nOnE", `{"alg":"nOnE","kid":"k1"}`, alg),
		head("HMAC with the public key", `{"alg":"HS256","kid":"k1"}`, alg),
		head("alg in lower case", `{"alg":"rs256"}`, alg),
		head("alg with a blank", `{"alg":"RS256 "}`, alg),
		head("no alg", `{"kid":"k1"}`, alg),
		head("alg is a list", `{"alg":["RS256"]}`, alg),
		head("two algs", `{"alg":"none","alg":"RS256"}`, "header: json at byte 14: duplicate name"),
		head("two algs, one escaped", `{"alg":"RS256","\u0061lg":"none"}`, "header: json at byte 15: duplicate name"),
		head("crit", `{"alg":"RS256","crit":["b64"],"b64":false}`, "crit is not supported"),
		head("an empty crit", `{"alg":"RS256","crit":[]}`, "crit is not supported"),
		head("zip", `{"alg":"RS256","zip":"DEF"}`, "zip is not supported"),
		head("a kid that is a path query", `{"alg":"RS256","kid":{"$ne":""}}`, "kid is no string"),
		head("a header that is a list", `["RS256"]`, "header is no object"),
		head("a header with text behind it", `{"alg":"RS256"}{}`, "header: json at byte 15: text after the value"),
		{name: "a key in the header is not looked at", header: `{"alg":"RS256","jwk":{"kty":"oct"},"jku":"https://evil.example/","x5u":"https://evil.example/"}`, want: allowed + goodContext},
		bad("one segment", "abc", "want three segments"),
		bad("two segments", h+"."+p, "want three segments"),
		bad("no signature", h+"."+p+".", "signature is not base64url"),
		bad("four segments", h+"."+p+"."+s+".", "want three segments"),
		bad("five segments, as an encrypted token has", h+"..."+p+"."+s, "want three segments"),
		bad("dots alone", "..", "signature is not base64url"),
		bad("padding", h+"."+p+"."+s+"=", "signature is not base64url"),
		bad("base64 of the other alphabet", h+"."+p+".+/+/", "signature is not base64url"),
		bad("bits left over", h+"."+p+".AB", "signature is not base64url"),
		bad("a length that no text has", h+"."+p+".AAAAA", "signature is not base64url"),
		bad("a line end inside", h+"."+p+".AA\nAA", "signature is not base64url"),
		bad("a percent sign", h+"."+p+"%2e."+s, "claims is not base64url"),
		bad("an empty header", "."+p+"."+s, "header: json at byte 0: want a value"),
		bad("more than 8 KiB", strings.Repeat("a", 8<<10+1), "the token is longer than 8 KiB"),
		bad("8 KiB of something", strings.Repeat("a", 8<<10), "want three segments"),
	}
}

// claimCases is about what a token says.
func claimCases() []tokenCase {
	claims := func(name, claims, told, reason string) tokenCase {
		return tokenCase{name: name, claims: claims, jwks: "none", want: refusal(told, reason)}
	}
	times := func(s string) string { return `{"iss":"https://id.example/","aud":"api","sub":"ann",` + s + `}` }
	who := func(s string) string { return `{` + s + `,"exp":1800001000}` }
	forbidden := func(challenge, reason string) string {
		headers := ""
		if challenge != "" {
			headers = `"headers":[["www-authenticate",` + quote(challenge) + `]],`
		}
		return `{"decision":"deny","status":403,"scope":"identity","ttl_ms":300000,` + headers + `"reason":` + quote(reason) + `}`
	}
	const missingScope = "the token has none of the scopes that are wanted"
	scoped := `{"issuer":"https://id.example/","audience":["api"],"scopes":["read","admin"],"claims_to_context":[]}`
	scope := func(name, claim string, ok bool) tokenCase {
		c := tokenCase{name: name, config: scoped, claims: times(`"exp":1800001000` + claim), want: `{"decision":"allow","scope":"identity","ttl_ms":300000,"principal":"ann"}`}
		if !ok {
			c.want = forbidden(`Bearer scope="read admin" error="insufficient_scope"`, missingScope)
		}
		return c
	}
	required := `{"issuer":"https://id.example/","audience":["api"],"claims_to_context":[],"required_claims":{"level":[1,2],"org":"acme","ok":true}}`
	claim := func(name, claims, missing string) tokenCase {
		c := tokenCase{name: name, config: required, claims: times(`"exp":1800001000` + claims), want: `{"decision":"allow","scope":"identity","ttl_ms":300000,"principal":"ann"}`}
		if missing != "" {
			c.want = forbidden("", "the token does not have the required claim "+missing)
		}
		return c
	}
	bare := `{"issuer":"https://id.example/","audience":["api","web"],"claims_to_context":[]}`
	ttl := func(name, config, exp, ttl string) tokenCase {
		if ttl != "" {
			ttl = `,"ttl_ms":` + ttl
		}
		return tokenCase{name: name, config: config, claims: times(`"exp":` + exp), want: `{"decision":"allow","scope":"identity"` + ttl + `,"principal":"ann"}`}
	}
	allow := `{"decision":"allow","scope":"identity","ttl_ms":300000,"principal":"ann"}`
	late := `{"issuer":"https://id.example/","audience":["api"],"claims_to_context":[],"leeway_s":60}`
	return []tokenCase{
		claims("expired", times(`"exp":1799999999`), expiredToken, "exp has passed"),
		claims("expires now", times(`"exp":1800000000`), expiredToken, "exp has passed"),
		claims("expired long ago", times(`"exp":-1e300`), expiredToken, "exp has passed"),
		claims("no exp", times(`"nbf":1`), invalidToken, "exp is missing"),
		claims("exp is null", times(`"exp":null`), invalidToken, "exp is no date"),
		claims("exp is a text", times(`"exp":"1800001000"`), invalidToken, "exp is no date"),
		claims("exp is beyond float64", times(`"exp":1e400`), invalidToken, "exp is no date"),
		claims("exp is huge", times(`"exp":1e300`), invalidToken, "exp is no date"),
		claims("exp is beyond int64", times(`"exp":18446744073709551616`), invalidToken, "exp is no date"),
		claims("exp wraps 64 bits", times(`"exp":9223372036854775808`), invalidToken, "exp is no date"),
		claims("exp in milliseconds", times(`"exp":1800001000000`), invalidToken, "exp is no date"),
		claims("two exp", times(`"exp":1799999999,"exp":1800001000`), invalidToken, "claims: json at byte 70: duplicate name"),
		claims("not valid yet", times(`"exp":1800001000,"nbf":1800000001`), earlyToken, "nbf is not reached"),
		claims("nbf is a text", times(`"exp":1800001000,"nbf":"0"`), invalidToken, "nbf is no date"),
		claims("issued in the future", times(`"exp":1800001000,"iat":1800000001`), earlyToken, "iat is in the future"),
		claims("expired and of another issuer: the date alone is told", `{"iss":"https://evil.example/","aud":"x","exp":1}`, expiredToken, "exp has passed"),
		{name: "leeway for exp", config: late, claims: times(`"exp":1799999941`), want: `{"decision":"allow","scope":"identity","ttl_ms":1000,"principal":"ann"}`},
		{name: "leeway ends", config: late, claims: times(`"exp":1799999940`), jwks: "none", want: refusal(expiredToken, "exp has passed")},
		{name: "leeway for nbf and iat", config: late, claims: times(`"exp":1800001000,"nbf":1800000060,"iat":1800000060`), want: allow},
		claims("another issuer", who(`"iss":"https://evil.example/","aud":"api"`), invalidToken, "iss is another"),
		claims("the issuer without its slash", who(`"iss":"https://id.example","aud":"api"`), invalidToken, "iss is another"),
		claims("the issuer in upper case", who(`"iss":"HTTPS://ID.EXAMPLE/","aud":"api"`), invalidToken, "iss is another"),
		claims("no issuer", who(`"aud":"api"`), invalidToken, "iss is another"),
		claims("a list of issuers", who(`"iss":["https://id.example/"],"aud":"api"`), invalidToken, "iss is another"),
		claims("another audience", who(`"iss":"https://id.example/","aud":"apis"`), invalidToken, "aud is another"),
		claims("no audience", who(`"iss":"https://id.example/"`), invalidToken, "aud is another"),
		claims("an empty list of audiences", who(`"iss":"https://id.example/","aud":[]`), invalidToken, "aud is another"),
		claims("an audience in a list in a list", who(`"iss":"https://id.example/","aud":[["api"]]`), invalidToken, "aud is another"),
		claims("aud counts before client_id", who(`"iss":"https://id.example/","aud":"x","client_id":"api"`), invalidToken, "aud is another"),
		claims("aud is null, and client_id does not stand in", who(`"iss":"https://id.example/","aud":null,"client_id":"api"`), invalidToken, "aud is another"),
		claims("sub is a number", who(`"iss":"https://id.example/","aud":"api","sub":1`), invalidToken, "sub is no string"),
		{name: "one audience of a list", config: bare, claims: who(`"iss":"https://id.example/","aud":["x","web"],"sub":"ann"`), want: allow},
		{name: "client_id without aud", config: bare, claims: who(`"iss":"https://id.example/","client_id":"web","sub":"ann"`), want: allow},
		{name: "no sub, no principal", config: bare, claims: who(`"iss":"https://id.example/","aud":"api"`), want: `{"decision":"allow","scope":"identity","ttl_ms":300000}`},
		{name: "claims in the context", claims: `{"iss":"https://id.example/","aud":["api","b"],"sub":"ann","exp":1800001000,"n":1.50,"b":true,"o":{"x":1},"z":null,"g":["a b","c"],"t":"\u00e9"}`,
			want: allowed + `"context":[["claims.iss","https://id.example/"],["claims.aud","[\"api\",\"b\"]"],["claims.sub","ann"],["claims.exp","1800001000"],["claims.n","1.50"],["claims.b","true"],["claims.g","[\"a b\",\"c\"]"],["claims.t","é"]]}`},
		{name: "all of the alphabet", claims: times(`"exp":1800001000,"t":"\u00ff>>>???~~~ÿÿÿûûû"`), config: `{"issuer":"https://id.example/","audience":["api"],"claims_to_context":["t"]}`,
			want: allowed + `"context":[["claims.t","ÿ>>>???~~~ÿÿÿûûû"]]}`},
		{name: "chosen claims in the context", config: `{"issuer":"https://id.example/","audience":["api"],"claims_to_context":["sub"]}`, want: allowed + `"context":[["claims.sub","ann"]]}`},
		ttl("a verdict lasts no longer than the token", bare, "1800000100", "100000"),
		ttl("part of a second", bare, "1800000000.5", "500"),
		ttl("a lifetime of one's own", `{"issuer":"https://id.example/","audience":["api"],"claims_to_context":[],"cache_ttl_s":60}`, "1800001000", "60000"),
		ttl("every request anew", `{"issuer":"https://id.example/","audience":["api"],"claims_to_context":[],"cache_ttl_s":0}`, "1800001000", ""),
		scope("scope: one of two", `,"scope":"openid read"`, true),
		scope("scp: a list", `,"scp":["x","admin"]`, true),
		scope("scope: a list of texts", `,"scope":["x y","z admin"]`, true),
		scope("scope: a part of a word", `,"scope":"reader readx"`, false),
		scope("scope: another blank", `,"scope":"x\u00a0read"`, false),
		scope("scope: an object", `,"scope":{"read":true}`, false),
		scope("scope: none", ``, false),
		scope("scope: empty", `,"scope":""`, false),
		claim("required claims", `,"level":2.0,"org":["x","acme"],"ok":true`, ""),
		claim("a required claim with another value", `,"level":3,"org":"acme","ok":true`, "level"),
		claim("a required claim of another kind", `,"level":"2","org":"acme","ok":true`, "level"),
		claim("a required boolean as text", `,"level":1,"org":"acme","ok":"true"`, "ok"),
		claim("no required claim", `,"level":1,"ok":true`, "org"),
	}
}

// carrierCases is about where a token stands in the request.
func carrierCases() []tokenCase {
	missing := `{"decision":"deny","headers":[["www-authenticate","Bearer"]],"reason":"the request carries no token"}`
	several := refusal(invalidToken, "the request carries more than one token")
	with := func(source string) string {
		return `{"issuer":"https://id.example/","audience":["api"],"claims_to_context":[],"identity_source":` + quote(source) + `}`
	}
	allow := `{"decision":"allow","scope":"identity","ttl_ms":300000,"principal":"ann"}`
	header := func(name, value, want string) tokenCase {
		return tokenCase{name: name, config: with("header.authorization"), request: `"headers":{"authorization":` + quote(value) + `}`, want: want}
	}
	form := func(name, value, reason string) tokenCase { return header(name, value, refusal(invalidToken, reason)) }
	return []tokenCase{
		{name: "no header", request: `"headers":{}`, want: missing},
		header("an empty value", "", missing),
		header("Bearer alone", "Bearer", refusal(invalidToken, "want three segments")),
		header("Bearer and blanks", "Bearer   ", missing),
		header("Basic", "Basic dTpw", missing),
		header("another scheme that ends so", "XBearer TOKEN", missing),
		header("the scheme in any case", "bEaReR TOKEN", allow),
		header("more blanks", "Bearer   TOKEN", allow),
		header("no scheme, as Amazon takes it", "TOKEN", allow),
		form("a tab for the blank", "Bearer\tTOKEN", "header is not base64url"),
		form("a no-break space for the blank", "Bearer\u00a0TOKEN", "header is not base64url"),
		form("an ideographic space for the blank", "Bearer\u3000TOKEN", "header is not base64url"),
		form("a zero-width space behind the blank", "Bearer \u200bTOKEN", "header is not base64url"),
		header("a K that is the Kelvin sign's neighbour", "\u212aearer TOKEN", missing),
		form("a blank behind the token", "Bearer TOKEN ", "signature is not base64url"),
		form("two tokens in one header", "Bearer TOKEN, Bearer TOKEN", "want three segments"),
		form("a parameter behind the token", "Bearer TOKEN,x=y", "signature is not base64url"),
		{name: "two headers", request: `"headers":[["authorization","Bearer TOKEN"],["authorization","Bearer TOKEN"]]`, want: several},
		{name: "two headers, one Basic", request: `"headers":[["authorization","Bearer TOKEN"],["authorization","Basic dTpw"]]`, want: several},
		{name: "another header", config: with("header.X-Token"), request: `"headers":{"x-token":"TOKEN"}`, want: allow},
		{name: "Amazon's name for a header", config: with("$request.header.X-Token"), request: `"headers":{"x-token":"Bearer TOKEN"}`, want: allow},
		{name: "a parameter", config: with("param.t"), request: `"query_params":{"t":"TOKEN"}`, want: allow},
		{name: "Amazon's name for a parameter", config: with("$request.querystring.t"), request: `"query_params":{"t":"TOKEN"}`, want: allow},
		{name: "a parameter twice", config: with("param.t"), request: `"query_params":[["t","TOKEN"],["t","x"]]`, want: several},
		{name: "the header does not count then", config: with("param.t"), request: `"headers":{"authorization":"Bearer TOKEN"}`, want: missing},
		{name: "a cookie", config: with("cookie.t"), request: `"headers":{"cookie":"a=b; t=TOKEN; tt=x"}`, want: allow},
		{name: "a cookie in the second field", config: with("cookie.t"), request: `"headers":[["cookie","a=b"],["cookie","t=TOKEN"]]`, want: allow},
		{name: "a cookie twice", config: with("cookie.t"), request: `"headers":{"cookie":"t=TOKEN; t=x"}`, want: several},
		{name: "a cookie in another's value", config: with("cookie.t"), request: `"headers":{"cookie":"a=\"x; y=t=TOKEN"}`, want: missing},
	}
}
