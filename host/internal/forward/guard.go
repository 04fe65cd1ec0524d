package forward

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/wasmgate/wasmgate/host/model"
)

// guard decides which addresses may be dialled (server-side request forgery, CWE-918).
type guard struct {
	prefixes []netip.Prefix
	hosts    map[string]bool // exact names, lower case
	suffixes []string        // ".example.com"
}

// newGuard reads the entries of Options.Allow.
func newGuard(allow []string) (*guard, error) {
	g := &guard{hosts: make(map[string]bool)}
	for _, entry := range allow {
		name := strings.ToLower(entry)
		if prefix, err := netip.ParsePrefix(name); err == nil {
			g.prefixes = append(g.prefixes, prefix.Masked())
			continue
		}
		if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
			g.prefixes = append(g.prefixes, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
			continue
		}
		rest, wild := strings.CutPrefix(name, "*.")
		if rest == "" || strings.ContainsAny(rest, "*/:@ ") {
			return nil, fmt.Errorf("allow upstream address %q: want a CIDR, an address, a host or *.domain", entry)
		}
		if wild {
			g.suffixes = append(g.suffixes, "."+rest)
		} else {
			g.hosts[name] = true
		}
	}
	return g, nil
}

// names tells whether the host itself is allowed whatever it resolves to.
func (g *guard) names(host string) bool {
	if g.hosts[host] {
		return true
	}
	for _, suffix := range g.suffixes {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// check refuses addr for the host of t.
func (g *guard) check(t *Target, addr netip.Addr) error {
	if addr.Zone() != "" {
		return fmt.Errorf("address %s has a zone", addr)
	}
	if model.NeverUpstream(addr) {
		return fmt.Errorf("address %s is link-local or of a metadata service", addr)
	}
	for a := addr.Unmap(); a.IsValid(); a = model.EmbeddedIPv4(a) {
		if t.Computed && anyOf(special, a) && !anyOf(g.prefixes, a) && !g.names(t.Host) {
			return fmt.Errorf("address %s is not public, the host %q was computed at request time and upstreams.allow does not name it", addr, t.Host)
		}
	}
	return nil
}

func anyOf(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// special is what the internet does not route (IANA special-purpose registries).
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16",
	"fc00::/7", "fec0::/10", "ff00::/8",
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}
