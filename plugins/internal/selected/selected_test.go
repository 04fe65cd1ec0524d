package selected

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// The guest's network is the host's, which net/netip makes.
func TestNetwork(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		var b [16]byte
		for i := range b {
			if random.IntN(3) == 0 { // many zeros, so that :: stands everywhere
				b[i] = byte(random.IntN(40))
			}
		}
		if addr := netip.AddrFrom16(b); !addr.Is4In6() {
			want := netip.PrefixFrom(addr, 64).Masked().String()
			if got := network(addr.String()); got != want {
				t.Fatalf("%s: got %s, want %s", addr, got, want)
			}
		}
	}
	for _, ip := range []string{"192.0.2.1", ""} {
		if got := network(ip); got != ip {
			t.Errorf("%q: got %q", ip, got)
		}
	}
	for ip, want := range map[string]string{"::": "::/64", "::1": "::/64", "1::": "1::/64", "1:0:0:2::": "1:0:0:2::/64", "0:0:0:1::": "0:0:0:1::/64"} {
		if got := network(ip); got != want {
			t.Errorf("%s: got %s, want %s", ip, got, want)
		}
	}
}
