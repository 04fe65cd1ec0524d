package pipeline_test

import (
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/model"
)

// show puts what a selector gives into a header of the upstream's request.
func show(selector string) *plugin {
	return on(abi.HookMapRequest, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		edits(w, edit(abi.OpSetHeader, "x-"+selector, selected(selector)))
	})
}

func first(r in, header string) string {
	for name, v := range r.Pairs(abi.FieldHeaders).All {
		if string(name) == header {
			return string(v)
		}
	}
	return ""
}

func TestCaller(t *testing.T) {
	b := newBench(t)
	b.api.Keys = map[[32]byte]*model.APIKey{
		sha256.Sum256([]byte("secret-1")): {ID: "x"},
		sha256.Sum256([]byte("secret-2")): {ID: "192.0.2.1"},
		sha256.Sum256([]byte("secret-3")): {ID: "principal:x"},
	}
	authorize := on(abi.HookAuthorize, func(r in, w out) {
		allow(w)
		w.String(abi.ResultPrincipal, first(r, "x-user"))
	})
	identify := on(abi.HookIdentify, func(r in, w out) {
		if key := first(r, "x-api-key"); key != "" {
			w.Value(abi.ResultAPIKey, literal(key))
		}
	})
	throttle := on(abi.HookThrottle, func(_ in, w out) {
		scope(w, abi.ScopeRoute)
		w.Buckets(abi.ResultBuckets, []abi.Bucket{{Burst: 1, Cost: 1, Name: []byte("each"), Key: selected("caller")}})
	})
	b.route(authorize, identify, throttle, show("caller"), callUpstream())
	for _, c := range []struct {
		user, key, ip string
		want          string
	}{
		{"x", "", "", "principal:x"},
		{"", "secret-1", "", "api_key:x"},
		{"", "", "", "address:192.0.2.1"},
		{"192.0.2.1", "", "", "principal:192.0.2.1"},
		{"", "secret-2", "", "api_key:192.0.2.1"},
		{"", "secret-3", "", "api_key:principal:x"},
		{"api_key:x", "", "", "principal:api_key:x"},
		{"address:192.0.2.1", "", "", "principal:address:192.0.2.1"},
		{"both", "secret-1", "", "principal:both"},
		{"", "", "2001:db8:1:2::7", "address:2001:db8:1:2::/64"},
		{"", "", "2001:db8:1:3::7", "address:2001:db8:1:3::/64"},
	} {
		q := question{ip: c.ip}
		if c.user != "" {
			q.header = append(q.header, "x-user", c.user)
		}
		if c.key != "" {
			q.header = append(q.header, "x-api-key", c.key)
		}
		require.Equal(t, 200, b.ask(q).status, "%s has a bucket of its own", c.want)
		require.Equal(t, c.want, b.up.header["x-caller"])
		require.Equal(t, 429, b.ask(q).status, "%s", c.want)
	}
	for _, q := range []question{
		{header: []string{"x-user", "x"}, ip: "192.0.2.9"},
		{header: []string{"x-user", "both"}},
		{ip: "::ffff:192.0.2.1"},
		{ip: "2001:db8:1:2:ffff::1"},
	} {
		require.Equal(t, 429, b.ask(q).status, "%v came before", q)
	}
	require.EqualValues(t, 1, throttle.calls.Load())
}

// A result without a key says nothing, whatever stood in the memory that it is read into;
// an empty key is a key.
func TestAbsentKeyIsNone(t *testing.T) {
	b := newBench(t)
	b.route(on(abi.HookCacheKey, func(r in, w out) {
		switch first(r, "x-by") {
		case "path":
			w.Value(abi.ResultCacheKey, abi.Value{})
			w.Uint(abi.ResultCacheTTLMS, 60_000)
		case "param":
			w.Value(abi.ResultCacheKey, selected("param.a"))
			w.Uint(abi.ResultCacheTTLMS, 60_000)
		}
	}), callUpstream())
	for i, c := range []struct {
		by   string
		want int64
	}{{"path", 1}, {"path", 1}, {"param", 2}, {"param", 2}, {"", 3}, {"", 4}, {"path", 4}} {
		require.Equal(t, 200, b.ask(question{header: []string{"x-by", c.by}}).status)
		require.Equal(t, c.want, b.up.calls.Load(), "request %d, by %q", i, c.by)
	}
}

func TestSourceNetwork(t *testing.T) {
	b := newBench(t)
	b.route(show("source_network"), show("caller"), callUpstream())
	network := func(ip netip.Addr) string {
		t.Helper()
		require.Equal(t, 200, b.ask(question{ip: ip.String()}).status)
		require.Equal(t, "address:"+b.up.header["x-source_network"], b.up.header["x-caller"])
		return b.up.header["x-source_network"]
	}
	for ip, want := range map[string]string{
		"192.0.2.1":               "192.0.2.1",
		"::ffff:192.0.2.1":        "192.0.2.1",
		"::ffff:192.0.2.1%eth0":   "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::/64",
		"2001:db8:1:2::":          "2001:db8:1:2::/64",
		"2001:db8::1":             "2001:db8::/64",
		"2001:0:0:1::1":           "2001:0:0:1::/64",
		"1:2:3:4:5::8":            "1:2:3:4::/64",
		"0:0:0:1:2:3:4:5":         "0:0:0:1::/64",
		"::1":                     "::/64",
		"fe80::1%eth0":            "fe80::/64",
		"64:ff9b::192.0.2.1":      "64:ff9b::/64",
		"ABCD:0EF0:0:0:1:1:1:1":   "abcd:ef0::/64",
		"ffff:ffff:ffff:ffff::ff": "ffff:ffff:ffff:ffff::/64",
	} {
		require.Equal(t, want, network(netip.MustParseAddr(ip)), ip)
	}

	// Two addresses have one network exactly when their first 64 bits are the same.
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		b := [16]byte{0: 0x20}
		for i := 1; i < len(b); i++ {
			if random.IntN(8) == 0 { // many zeros, so that :: stands everywhere and networks meet
				b[i] = byte(random.IntN(3))
			}
		}
		return netip.AddrFrom16(b)
	}
	seen := map[[8]byte]string{}
	texts := map[string]bool{}
	for range 2000 {
		a := address()
		bits := [8]byte(a.AsSlice())
		got := network(a)
		p, err := netip.ParsePrefix(got)
		require.NoError(t, err)
		require.True(t, p.Bits() == 64 && p.Contains(a) && p.String() == got, "%s: got %s", a, got)
		if before, ok := seen[bits]; ok {
			require.Equal(t, before, got, a)
		} else {
			require.False(t, texts[got], "%s: %s is another's", a, got)
		}
		seen[bits], texts[got] = got, true
	}
	require.Less(t, len(seen), 1500, "too few meet to show anything")
}

// What has no address, such as a request of a test, is still one caller.
func TestNoSource(t *testing.T) {
	b := newBench(t)
	b.route(show("source_network"), show("caller"), callUpstream())
	x := b.exchange()
	defer x.Release()
	x.Remote = netip.AddrPort{}
	b.p.ServeExchange(x)
	b.p.FinishExchange(x, nil)
	require.Equal(t, 200, x.Response.Status)
	require.Equal(t, "", b.up.header["x-source_network"])
	require.Equal(t, "address:", b.up.header["x-caller"])
}
