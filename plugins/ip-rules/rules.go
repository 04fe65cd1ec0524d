package main

import (
	"net/netip"
	"strconv"

	"github.com/wasmgate/wasmgate/plugins/internal/config"
)

// policy is the decoded config.
type policy struct{ allow, deny []netip.Prefix }

// decode reads a config.
func decode(text string) (*policy, error) {
	c := config.Parse("config", text)
	p := &policy{allow: prefixes(c, "allow"), deny: prefixes(c, "deny")}
	if len(p.allow)+len(p.deny) == 0 {
		c.Fail("allow", "want at least one address here or in deny")
	}
	return p, c.Err()
}

func prefixes(c *config.Object, key string) (list []netip.Prefix) {
	for i, s := range c.Strings(key) {
		p, fault := parsePrefix(s)
		if fault != "" {
			c.FailAt(c.Path(key)+"["+strconv.Itoa(i)+"]", fault)
			continue
		}
		list = append(list, p)
	}
	return list
}

// parsePrefix reads 10.0.0.0/8, 2001:db8::/32 or one address. IPv4 written as IPv6 is
// read as IPv4, since that is how the gateway writes such a client's address.
func parsePrefix(s string) (netip.Prefix, string) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return p, "got " + strconv.Quote(s) + ", want an address or address/bits"
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	if addr := p.Addr(); addr.Is4In6() {
		if p.Bits() < 96 {
			return p, "got " + strconv.Quote(s) + ", which mixes IPv4 and IPv6: write two entries"
		}
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	if m := p.Masked(); m != p {
		return p, "got " + strconv.Quote(s) + ", which has bits beyond its length: want " + m.String()
	}
	return p, ""
}

// refuses tells why an address may not come in; empty when it may. Deny wins over allow,
// and with an allow list whatever is not on it stays out.
func (p *policy) refuses(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return "the client has no address"
	}
	addr = addr.Unmap().WithZone("")
	switch {
	case contains(p.deny, addr):
		return "the address is on the deny list"
	case len(p.allow) > 0 && !contains(p.allow, addr):
		return "the address is not on the allow list"
	}
	return ""
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
