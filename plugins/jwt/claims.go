package main

import (
	"slices"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/json"
	"github.com/wasmgate/wasmgate/sdk/go"
)

// lastDate is the end of the year 9999. A date beyond it is an error of the issuer's, such
// as milliseconds for seconds, and would make a token that never ends.
const lastDate = 253402300799

// What the client learns of an invalid token. Dates come first and have their own text,
// for the client can read them; everything after them, the signature included, has one
// text, so that a forged token cannot ask for the issuer or audience that is wanted.
const (
	descInvalid  = "the token is not valid"
	descExpired  = "the token has expired"
	descTooEarly = "the token is not valid yet"
)

// fault is why a token is refused: what the client is told, and what the operator.
type fault struct{ description, reason string }

// checkDates checks exp, nbf and iat at now, in seconds, and gives exp (RFC 7519, 4.1.4-6).
func (p *policy) checkDates(claims *json.Value, now float64) (expires float64, f fault) {
	var dates [3]float64
	for i, name := range [...]string{"exp", "nbf", "iat"} {
		v := claims.Find(name)
		if v == nil {
			if name == "exp" {
				return 0, fault{descInvalid, "exp is missing"}
			}
			continue
		}
		date, ok := v.Float()
		if !ok || date > lastDate {
			return 0, fault{descInvalid, name + " is no date"}
		}
		dates[i] = date
	}
	switch {
	case now >= dates[0]+p.leeway:
		return 0, fault{descExpired, "exp has passed"}
	case now < dates[1]-p.leeway:
		return 0, fault{descTooEarly, "nbf is not reached"}
	case now < dates[2]-p.leeway:
		return 0, fault{descTooEarly, "iat is in the future"}
	}
	return dates[0] + p.leeway, fault{}
}

// checkIssuer checks who made the token and for whom.
func (p *policy) checkIssuer(claims *json.Value) string {
	if iss := claims.Get("iss"); iss.Kind != json.String || iss.Text != p.issuer {
		return "iss is another"
	}
	if !p.isAudience(claims) {
		return "aud is another"
	}
	if sub := claims.Get("sub"); sub.Kind != 0 && sub.Kind != json.String {
		return "sub is no string"
	}
	return ""
}

// isAudience looks at aud, and only without one at client_id, as Amazon does.
func (p *policy) isAudience(claims *json.Value) bool {
	aud := claims.Find("aud")
	if aud == nil {
		aud = claims.Find("client_id")
		return aud != nil && aud.Kind == json.String && slices.Contains(p.audience, aud.Text)
	}
	return anyOf(aud, func(v *json.Value) bool { return v.Kind == json.String && slices.Contains(p.audience, v.Text) })
}

// anyOf tells whether ok holds for v, or for one element when v is an array.
func anyOf(v *json.Value, ok func(*json.Value) bool) bool {
	if v.Kind != json.Array {
		return ok(v)
	}
	for i := range v.Items {
		if ok(&v.Items[i]) {
			return true
		}
	}
	return false
}

// hasScope tells whether the token has one of the wanted scopes, in scope or scp, each a
// text of scopes with blanks between or an array of them.
func (p *policy) hasScope(claims *json.Value) bool {
	if len(p.scopes) == 0 {
		return true
	}
	for _, name := range [...]string{"scope", "scp"} {
		if v := claims.Find(name); v != nil && anyOf(v, p.grants) {
			return true
		}
	}
	return false
}

func (p *policy) grants(v *json.Value) bool {
	if v.Kind != json.String {
		return false
	}
	for scope := range strings.SplitSeq(v.Text, " ") {
		if scope != "" && slices.Contains(p.scopes, scope) {
			return true
		}
	}
	return false
}

// missingClaim is the name of a required claim that the token does not have; empty when it
// has them all.
func (p *policy) missingClaim(claims *json.Value) string {
	for i := range p.required {
		want := &p.required[i]
		got := claims.Find(want.Name)
		if got == nil || !anyOf(want, func(w *json.Value) bool {
			return anyOf(got, func(g *json.Value) bool { return same(w, g) })
		}) {
			return want.Name
		}
	}
	return ""
}

func same(a, b *json.Value) bool {
	if a.Kind != b.Kind {
		return false
	}
	if a.Kind == json.Number {
		x, okX := a.Float()
		y, okY := b.Float()
		return okX && okY && x == y
	}
	if a.Kind == json.String {
		return a.Text == b.Text
	}
	return a.Raw == b.Raw
}

// contextValues is each claim for the context as claims.NAME: strings as they are, numbers
// and booleans as they are written, arrays as JSON, so that no element can pose as two.
// Objects and null stay out.
func (p *policy) contextValues(claims *json.Value) []wasmgate.Pair {
	values := make([]wasmgate.Pair, 0, len(claims.Items))
	for i := range claims.Items {
		v := &claims.Items[i]
		if !p.allClaims && !slices.Contains(p.claims, v.Name) {
			continue
		}
		pair := wasmgate.Pair{Name: "claims." + v.Name}
		switch v.Kind {
		case json.String:
			pair.Value = v.Text
		case json.Number, json.Bool:
			pair.Value = v.Raw
		case json.Array:
			pair.Value = string(v.Append(nil))
		default:
			continue
		}
		values = append(values, pair)
	}
	return values
}
