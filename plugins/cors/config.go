package main

import (
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/field"
)

// policy is the decoded config, its lists joined as they go into headers.
type policy struct {
	any         bool // every origin, without credentials
	exact       []string
	wild        []wildcard
	credentials bool
	methods     string
	headers     string
	expose      string
	maxAge      string // empty sends none
}

// wildcard is https://*.example.com, or https://* when after is empty.
type wildcard struct{ before, after string }

// decode reads a config.
func decode(text string) (*policy, error) {
	c := config.Parse("config", text)
	p := &policy{credentials: c.Bool("allow_credentials")}
	origins := c.Strings("allow_origins")
	if len(origins) == 0 {
		c.Fail("allow_origins", "want at least one")
	}
	for i, origin := range origins {
		if fault := p.addOrigin(origin); fault != "" {
			c.FailAt(c.Path("allow_origins")+"["+strconv.Itoa(i)+"]", fault)
		}
	}
	methods := c.Strings("allow_methods")
	if methods == nil {
		methods = []string{"GET", "HEAD", "POST"} // Fetch: the CORS-safelisted methods
	}
	p.methods = p.list(c, "allow_methods", methods)
	p.headers = p.list(c, "allow_headers", c.Strings("allow_headers"))
	p.expose = p.list(c, "expose_headers", c.Strings("expose_headers"))
	if c.Has("max_age_s") {
		p.maxAge = strconv.FormatInt(c.Int("max_age_s", 0, -1, 86400), 10)
	}
	return p, c.Err()
}

// list joins names for a header. With credentials a browser reads * as a name like any
// other (Fetch, 3.3.4), so there it is a mistake.
func (p *policy) list(c *config.Object, key string, names []string) string {
	for i, name := range names {
		switch {
		case !field.IsToken(name):
			c.FailAt(c.Path(key)+"["+strconv.Itoa(i)+"]", "got "+strconv.Quote(name)+", want a token")
		case name == "*" && p.credentials:
			c.FailAt(c.Path(key)+"["+strconv.Itoa(i)+"]", "* does not work with allow_credentials: name them")
		}
	}
	return strings.Join(names, ",")
}

func (p *policy) addOrigin(origin string) (fault string) {
	if origin == "*" {
		if p.any = true; p.credentials {
			// Any site could read what the user may read (Fetch, 3.3.5).
			return "* does not work with allow_credentials: name the origins"
		}
		return ""
	}
	scheme, host, found := strings.Cut(origin, "://")
	switch {
	case origin == "null": // sandboxed frames and local files of anyone
		return "null is the origin of any sandboxed page"
	case !found || scheme == "" || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "":
		return "got " + strconv.Quote(origin) + ", want scheme://host or scheme://host:port, in lower case"
	}
	rest, wild := strings.CutPrefix(host, "*")
	if wild && p.credentials && rest == "" {
		return "every host does not work with allow_credentials: name the origins"
	}
	name, port, hasPort := strings.Cut(rest, ":")
	switch {
	case strings.HasPrefix(rest, "["): // an IPv6 address
		name, hasPort = "ipv6", false
	case wild && rest != "" && (rest[0] != '.' || len(name) < 2):
		return "got " + strconv.Quote(origin) + ", want the * to stand for whole labels, as in https://*.example.com"
	case !wild && name == "", hasPort && (port == "" || strings.Trim(port, "0123456789") != ""), !isHost(name):
		return "got " + strconv.Quote(origin) + ", want scheme://host or scheme://host:port, in lower case"
	}
	if wild {
		p.wild = append(p.wild, wildcard{scheme + "://", rest})
	} else {
		p.exact = append(p.exact, origin)
	}
	return ""
}

// isHost tells whether s is made of a host's lower-case letters, digits, dots, - and _.
func isHost(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// allows tells whether a browser page of that origin may read. Origins are compared byte
// by byte: a browser sends them in one spelling.
func (p *policy) allows(origin string) bool {
	for _, o := range p.exact {
		if o == origin {
			return true
		}
	}
	for _, w := range p.wild {
		if w.matches(origin) {
			return true
		}
	}
	return false
}

// matches takes one label or more for the *, and a port only where the pattern has one:
// not https://evil.example/.example.com, nor https://evil.example:1.example.com.
func (w wildcard) matches(origin string) bool {
	middle, ok := strings.CutPrefix(origin, w.before)
	if w.after != "" && ok {
		middle, ok = strings.CutSuffix(middle, w.after)
	} else if ok {
		if host, port, hasPort := strings.Cut(middle, ":"); hasPort && port != "" && strings.Trim(port, "0123456789") == "" {
			middle = host
		}
	}
	return ok && middle != "" && isHost(middle)
}
