package recording

import (
	"regexp"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/observe"
)

// Rules say what is a secret. They are not changed once they are made, and safe for
// concurrent use.
type Rules struct {
	// Secrets are values that are secrets wherever they stand.
	Secrets []string
	// References are values that the configuration took from elsewhere, which may be secrets.
	References []string
	// Query are the query parameters, and members of bodies, whose values are secrets.
	Query []string
	// Redact and Reveal are what the operator says: selectors such as header.x-tenant,
	// param.code, cookie.sid, context.tenant or principal, claim.tier for a claim of tokens,
	// and body, response_body and config.
	// Redact wins.
	Redact, Reveal []string

	query   func(name string) bool
	members *regexp.Regexp // of JSON bodies; nil when there are none
	form    *regexp.Regexp // of form bodies
	parts   *regexp.Regexp // of multipart bodies
}

// credentialHeaders carry credentials by their standards: RFC 9110 11.6.2 and 11.7.2, RFC
// 6265, Amazon's.
var credentialHeaders = map[string]bool{"authorization": true, "proxy-authorization": true, "cookie": true,
	"set-cookie": true, "x-api-key": true, "x-amz-security-token": true}

// ready compiles what r says.
func (r Rules) ready() *Rules {
	r.query = observe.SecretQuery(r.Query)
	var names []string
	for _, n := range r.Query {
		if !r.listed(r.Reveal, "param."+n) {
			names = append(names, regexp.QuoteMeta(n))
		}
	}
	for _, s := range r.Redact {
		if name, ok := strings.CutPrefix(s, "param."); ok {
			names = append(names, regexp.QuoteMeta(name))
		}
	}
	if len(names) > 0 {
		any := "(?:" + strings.Join(names, "|") + ")"
		r.members = regexp.MustCompile(`(?i)"` + any + `"\s*:\s*(?:"((?:[^"\\]|\\.)*)"?|([0-9.eE+-]+))`)
		r.form = regexp.MustCompile(`(?i)(?:^|[&;])` + any + `(?:\[[^\]=&;]*\])?=([^&;]*)`)
		r.parts = regexp.MustCompile(`(?i)name="` + any + `"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)`)
	}
	return &r
}

func (r *Rules) listed(list []string, selector string) bool {
	for _, s := range list {
		if strings.EqualFold(s, selector) {
			return true
		}
	}
	return false
}

// redacts tells whether the operator says that what a selector selects is a secret.
func (r *Rules) redacts(selector string) bool { return r.listed(r.Redact, selector) }

func (r *Rules) reveals(selector string) bool { return r.listed(r.Reveal, selector) }

// header tells whether a header's value is a credential; of is header or response_header.
func (r *Rules) header(of, name string) bool {
	return r.redacts(of+"."+name) || credentialHeaders[name] && !r.reveals(of+"."+name)
}

// claim tells whether the operator reveals a claim of tokens.
func (r *Rules) claim(name string) bool {
	return r.reveals("claim."+name) && !r.redacts("claim."+name)
}

// param tells whether a query parameter's value is a credential.
func (r *Rules) param(name string) bool { return r.member("param", name) }

// member tells whether a member of a list that is no header is a credential, by the names of
// Query too: a policy may have got a token for later ones. Of a dotted name the last part
// counts.
func (r *Rules) member(of, name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return r.redacts(of+"."+name) || r.query(last) && !r.reveals(of+"."+name)
}

// bodyPlaces is where a body has members or fields that are credentials by their names.
func (r *Rules) bodyPlaces(body []byte) (places [][2]int) {
	if r.members == nil {
		return nil
	}
	for _, form := range [...]*regexp.Regexp{r.members, r.form, r.parts} {
		for _, m := range form.FindAllSubmatchIndex(body, -1) {
			for i := 2; i < len(m); i += 2 {
				if m[i] >= 0 && m[i] < m[i+1] {
					places = append(places, [2]int{m[i], m[i+1]})
				}
			}
		}
	}
	return places
}
