package model

import (
	"net/netip"
	"slices"
)

// neverUpstream is link-local addresses and where clouds hand out credentials (AWS IMDS and
// its IPv6 address, Google's, Alibaba's, Oracle's, ECS's and EKS's agents lie in it).
var neverUpstream = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("fd20:ce::254/128"), netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("192.0.0.192/32"),
}

// NeverUpstream tells whether a is link-local or a metadata service's, itself or as the IPv4
// address that it stands for. Nothing that an operator writes makes it an upstream
// (server-side request forgery, CWE-918).
func NeverUpstream(a netip.Addr) bool {
	for a = a.Unmap().WithZone(""); a.IsValid(); a = EmbeddedIPv4(a) {
		if slices.ContainsFunc(neverUpstream, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return true
		}
	}
	return false
}

// EmbeddedIPv4 is the IPv4 address that a v6 one stands for: IPv4-compatible (::/96), NAT64
// (64:ff9b::/96), 6to4 (2002::/16), Teredo (2001::/32, inverted). It is the zero Addr when a
// stands for itself; IPv4-mapped addresses are [netip.Addr.Unmap]'s.
func EmbeddedIPv4(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return netip.Addr{}
	}
	b := a.As16()
	four := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case b[0] == 0x20 && b[1] == 0x02:
		return four(2)
	case [12]byte(b[:12]) == [12]byte{0x00, 0x64, 0xff, 0x9b}, [12]byte(b[:12]) == [12]byte{} && a != netip.IPv6Unspecified() && a != netip.IPv6Loopback():
		return four(12)
	case [4]byte(b[:4]) == [4]byte{0x20, 0x01}:
		for i := 12; i < 16; i++ {
			b[i] = ^b[i]
		}
		return four(12)
	}
	return netip.Addr{}
}
