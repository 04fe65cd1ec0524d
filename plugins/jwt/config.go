package main

import (
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/json"
	"github.com/wasmgate/wasmgate/plugins/internal/template"
)

// policy is the decoded config.
type policy struct {
	issuer    string
	audience  []string
	scopes    []string
	keys      string // URL of the key set, or the issuer
	source    string // header, param or cookie
	name      string // of the header, parameter or cookie
	leeway    float64
	cacheTTL  float64 // seconds
	allClaims bool
	claims    []string // that go into the context, unless all do
	required  []json.Value
}

// decode reads a config.
func decode(text string) (*policy, error) {
	c := config.Parse("config", text)
	p := &policy{
		issuer:    c.Required("issuer"),
		audience:  c.Strings("audience"),
		scopes:    c.Strings("scopes"),
		leeway:    float64(c.Int("leeway_s", 0, 0, 300)),
		cacheTTL:  float64(c.Int("cache_ttl_s", 300, 0, 3600)),
		allClaims: !c.Has("claims_to_context"),
		claims:    c.Strings("claims_to_context"),
		required:  requiredClaims(c),
	}
	if p.issuer != "" && !isURL(p.issuer) {
		c.Fail("issuer", "want an https URL")
	}
	if p.keys = c.String("jwks_url", p.issuer); p.keys != "" && !isURL(p.keys) {
		c.Fail("jwks_url", "want an https URL")
	}
	if len(p.audience) == 0 {
		c.Fail("audience", "want at least one, or a token for another service of the issuer would do")
	}
	for _, s := range p.scopes { // they stand in a header when they are missing (RFC 6749, 3.3)
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }) {
			c.Fail("scopes", "a scope has a byte that may not stand in one")
		}
	}
	p.source, p.name = identitySource(c)
	return p, c.Err()
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// identitySource is where the token stands; Amazon's spelling is taken too.
func identitySource(c *config.Object) (source, name string) {
	s := c.String("identity_source", "header.authorization")
	if rest, ok := strings.CutPrefix(s, "$request."); ok {
		s = rest
		if name, ok := strings.CutPrefix(rest, "querystring."); ok {
			s = "param." + name
		}
	}
	selector, fault := template.Selector(s, template.Request)
	source, name, _ = strings.Cut(selector, ".")
	if fault == "" && source != "header" && source != "param" && source != "cookie" {
		fault = "want header.NAME, param.NAME or cookie.NAME"
	}
	if fault != "" {
		c.Fail("identity_source", fault)
	}
	return source, name
}

// requiredClaims is the claims that a token must have: each with one value or a list of
// which one will do.
func requiredClaims(c *config.Object) []json.Value {
	all := c.Value("required_claims")
	if all.Kind != 0 && all.Kind != json.Object {
		c.Fail("required_claims", "got "+all.Kind.String()+", want object")
		return nil
	}
	for i := range all.Items {
		claim := &all.Items[i]
		wanted := claim.Items
		if claim.Kind != json.Array {
			wanted = []json.Value{*claim}
		} else if len(wanted) == 0 {
			c.Fail("required_claims", claim.Name+": empty list")
		}
		for j := range wanted {
			if k := wanted[j].Kind; k != json.String && k != json.Number && k != json.Bool {
				c.Fail("required_claims", claim.Name+": got "+k.String()+", want string, number or boolean")
			}
		}
	}
	return all.Items
}

// identity is the selectors that make the identity of a verdict. A parameter or cookie may
// stand twice, and the host's selector would show the first alone: there the identity is
// all of the query or cookies, so that a verdict never covers what was not looked at.
func (p *policy) identity() string {
	switch p.source {
	case "param":
		return "query"
	case "cookie":
		return "header.cookie"
	}
	return "header." + p.name
}
