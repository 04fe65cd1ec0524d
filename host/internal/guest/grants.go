package guest

import (
	"net"
	"net/url"
	"strings"

	"github.com/wasmgate/wasmgate/host/model"
)

// grants are a policy's grants, ready to be asked.
type grants struct {
	hosts    []hostGrant
	prefixes []string
	secrets  []string
	keySets  []string
}

// hostGrant is one entry of the grant http.
type hostGrant struct {
	scheme string // https, or http where the grant says so
	host   string // lower case; a wildcard's begins with its dot
	port   string // empty is the scheme's
	any    bool   // any host below
}

func newGrants(g model.Grants) grants {
	out := grants{prefixes: g.KV, secrets: g.Secrets, keySets: g.JWKS}
	for _, s := range g.HTTP {
		out.hosts = append(out.hosts, parseHostGrant(s))
	}
	return out
}

func parseHostGrant(s string) hostGrant {
	g := hostGrant{scheme: "https"}
	if rest, ok := strings.CutPrefix(s, "http://"); ok {
		g.scheme, s = "http", rest
	}
	s = strings.ToLower(strings.TrimPrefix(s, "https://"))
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, ""
	}
	g.host, g.port = strings.Trim(host, "[]"), port
	if rest, ok := strings.CutPrefix(g.host, "*"); ok {
		g.host, g.any = rest, true
	}
	return g
}

// url tells whether a URL is granted, and by its very host. What a URL parser could read in
// two ways is not: user information, a host with odd bytes, an empty host.
func (g *grants) url(u *url.URL) (granted, constant bool) {
	if u.User != nil || u.Opaque != "" {
		return false, false
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("%/\\@?#", r) }) {
		return false, false
	}
	for _, h := range g.hosts {
		if h.scheme != u.Scheme || !samePort(h.scheme, h.port, port) {
			continue
		}
		if !h.any && h.host == host {
			return true, true
		}
		// A wildcard is for names: an address has no parent domain.
		if h.any && strings.HasPrefix(h.host, ".") && strings.HasSuffix(host, h.host) && len(host) > len(h.host) && net.ParseIP(host) == nil {
			granted = true
		}
	}
	return granted, false
}

func samePort(scheme, a, b string) bool {
	usual := map[string]string{"http": "80", "https": "443"}[scheme]
	if a == "" {
		a = usual
	}
	if b == "" {
		b = usual
	}
	return a == b
}

func (g *grants) key(key []byte) bool {
	for _, p := range g.prefixes {
		if strings.HasPrefix(string(key), p) {
			return true
		}
	}
	return false
}

func (g *grants) secret(name []byte) bool { return listed(g.secrets, name) }
func (g *grants) keySet(url []byte) bool  { return listed(g.keySets, url) }

func listed(list []string, b []byte) bool {
	for _, s := range list {
		if s == string(b) {
			return true
		}
	}
	return false
}
