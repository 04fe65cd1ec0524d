package main

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// Two addresses have one bucket exactly when they are of one /64.
func TestNetwork(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		var b [16]byte
		for i := range b {
			if random.IntN(3) == 0 { // many zeros, so that :: stands everywhere
				b[i] = byte(random.IntN(3))
			}
		}
		b[0] = 0x20
		return netip.AddrFrom16(b)
	}
	for range 20000 {
		a, b := address(), address()
		same := netip.PrefixFrom(a, 64).Masked() == netip.PrefixFrom(b, 64).Masked()
		if got := network(a.String()) == network(b.String()); got != same {
			t.Fatalf("%s is %s and %s is %s", a, network(a.String()), b, network(b.String()))
		}
		if p, err := netip.ParsePrefix(network(a.String())); err != nil || p != netip.PrefixFrom(a, 64).Masked() {
			t.Fatalf("%s: got %s, %v", a, network(a.String()), err)
		}
	}
}
