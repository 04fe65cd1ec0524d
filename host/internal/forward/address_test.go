package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// names is a Resolver of fixed answers, one list a call.
type names struct {
	mu    sync.Mutex
	lists [][]string
	calls int
}

func (n *names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.lists[min(n.calls, len(n.lists)-1)]
	n.calls++
	if list == nil {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	addrs := make([]netip.Addr, len(list))
	for i, s := range list {
		addrs[i] = netip.MustParseAddr(s)
	}
	return addrs, nil
}

func TestAddressesAreRefused(t *testing.T) {
	const constant, computed, allowed = 1, 2, 4 // who may reach it
	for addr, who := range map[string]int{
		"8.8.8.8": constant | computed | allowed, "2606:4700::1111": constant | computed | allowed,
		"127.0.0.1": constant | allowed, "127.8.9.1": constant | allowed, "::1": constant | allowed, "10.1.2.3": constant | allowed,
		"172.31.255.255": constant, "172.32.0.1": constant | computed | allowed, "192.168.1.1": constant, "100.64.1.1": constant,
		"0.0.0.0": constant, "::": constant, "224.0.0.1": constant, "255.255.255.255": constant, "fc00::1": constant, "fd12::1": constant,
		"ff02::1": constant, "2001:db8::1": constant, "198.18.0.1": constant, "fec0::1": constant,
		"::ffff:127.0.0.1": constant | allowed, "::ffff:10.1.2.3": constant | allowed, "::ffff:192.168.1.1": constant,
		"64:ff9b::10.1.2.3": constant | allowed, "64:ff9b::c0a8:101": constant, "64:ff9b::808:808": constant | computed | allowed,
		"2002:c0a8:101::1": constant, "2002:808:808::1": constant | computed | allowed, "::192.168.1.1": constant,
		"169.254.169.254": 0, "169.254.170.2": 0, "::ffff:169.254.169.254": 0, "fe80::1": 0, "febf::1": 0, "fd00:ec2::254": 0,
		"fd00:ec2::23": 0, "fd20:ce::254": 0, "100.100.100.200": 0, "64:ff9b::a9fe:a9fe": 0, "2002:a9fe:a9fe::1": 0, "::169.254.169.254": 0,
		"2001:0:1:2:3:4:5601:5601": 0, // Teredo of 169.254.169.254
		"fe80::1%eth0":             0, "8.8.8.8%x": -1, "2606:4700::1111%eth0": 0,
	} {
		if who < 0 {
			continue
		}
		for bit, tt := range map[int]struct {
			computed bool
			allow    []string
		}{
			constant: {false, nil},
			computed: {true, nil},
			allowed:  {true, []string{"127.0.0.0/8", "::1", "10.0.0.0/8", "169.254.0.0/16", "fe80::/10", "64:ff9b::/96"}},
		} {
			dialled := errors.New("dialled")
			f := newForwarder(t, Options{Allow: tt.allow, Resolver: &names{lists: [][]string{{addr}}},
				Dial: func(context.Context, string, string) (net.Conn, error) { return nil, dialled }})
			for _, host := range []string{"name.example", addr} {
				u, err := f.Upstream(Target{Scheme: "http", Host: host, Computed: tt.computed})
				require.NoError(t, err)
				_, _, err = get(f, u)
				if who&bit != 0 {
					require.ErrorIs(t, err, dialled, "%s as %s, %+v", addr, host, tt)
				} else {
					require.Equal(t, RefusedAddress, kindOf(err), "%s as %s, %+v: %v", addr, host, tt, err)
				}
			}
			f.Close()
		}
	}
}

func TestAllowedNames(t *testing.T) {
	for allow, want := range map[string]Kind{
		"inside.example": Connect, "INSIDE.example": Connect, "*.example": Connect,
		"example": RefusedAddress, "*.inside.example": RefusedAddress, "side.example": RefusedAddress,
	} {
		f := newForwarder(t, Options{Allow: []string{allow}, Resolver: &names{lists: [][]string{{"10.0.0.1"}}},
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("dialled") }})
		u, err := f.Upstream(Target{Scheme: "http", Host: "inside.example", Computed: true})
		require.NoError(t, err)
		_, _, err = get(f, u)
		require.Equal(t, want, kindOf(err), allow)
	}
	for _, bad := range []string{"", "*", "*.*", "http://a", "a/b", "10.0.0.0/99", "a:80", "a b"} {
		_, err := New(Options{Allow: []string{bad}})
		require.Error(t, err, "%q", bad)
	}
}

// The second resolution gives an inside address: it is the dialled address that counts.
func TestRebinding(t *testing.T) {
	s := say(t, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
	port := target(t, s.url).Port
	f := newForwarder(t, Options{Resolve: time.Nanosecond,
		Resolver: &names{lists: [][]string{{"8.8.8.8"}, {"127.0.0.1"}}},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, strings.Replace(address, "8.8.8.8", "127.0.0.1", 1))
		}})
	u, err := f.Upstream(Target{Scheme: "http", Host: "rebind.example", Port: port, Computed: true})
	require.NoError(t, err)
	_, _, err = get(f, u)
	require.NoError(t, err)
	_, _, err = get(f, u)
	require.Equal(t, RefusedAddress, kindOf(err))
	require.EqualValues(t, 1, s.connections.Load())
}

func TestResolution(t *testing.T) {
	s := say(t, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
	port := target(t, s.url).Port
	for name, tt := range map[string]struct {
		keep  time.Duration
		lists [][]string
		want  []Kind
		calls int
	}{
		"kept":                 {time.Hour, [][]string{{"127.0.0.1"}, nil}, []Kind{"", ""}, 1},
		"stale on failure":     {time.Nanosecond, [][]string{{"127.0.0.1"}, nil}, []Kind{"", ""}, 2},
		"asked again":          {time.Nanosecond, [][]string{{"127.0.0.2"}, {"127.0.0.1"}}, []Kind{Connect, ""}, 2},
		"unknown":              {time.Hour, [][]string{nil, {"127.0.0.1"}}, []Kind{DNS, ""}, 2},
		"empty":                {time.Hour, [][]string{{}}, []Kind{DNS}, 1},
		"all addresses":        {time.Hour, [][]string{{"127.0.0.2", "127.0.0.3", "127.0.0.1"}}, []Kind{""}, 1},
		"forbidden ones apart": {time.Hour, [][]string{{"169.254.169.254", "127.0.0.1"}}, []Kind{""}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			resolver := &names{lists: tt.lists}
			f := newForwarder(t, Options{Resolve: tt.keep, Resolver: resolver,
				Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if !strings.HasPrefix(address, "127.0.0.1:") {
						return nil, errors.New("refused")
					}
					return (&net.Dialer{}).DialContext(ctx, network, address)
				}})
			u, err := f.Upstream(Target{Scheme: "http", Host: "name.example", Port: port})
			require.NoError(t, err)
			for i, want := range tt.want {
				_, _, err = get(f, u)
				require.Equal(t, want, kindOf(err), "call %d: %v", i, err)
			}
			require.Equal(t, tt.calls, resolver.calls)
		})
	}
}

// One address hangs: the next is tried beside it, and nothing is left behind.
func TestHangingAddress(t *testing.T) {
	s := say(t, fine)
	f := newForwarder(t, Options{Resolver: &names{lists: [][]string{{"2001:4860::1", "127.0.0.1"}}},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "[") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}})
	u, err := f.Upstream(Target{Scheme: "http", Host: "name.example", Port: target(t, s.url).Port})
	require.NoError(t, err)
	started := time.Now()
	_, body, err := get(f, u)
	require.NoError(t, err)
	require.Equal(t, "ok", body)
	require.GreaterOrEqual(t, time.Since(started), stagger)
	require.Equal(t, "4 6 4 4", fmt.Sprint(families(alternate(addrs("1.1.1.1", "2.2.2.2", "3.3.3.3", "::1")))))
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func families(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, map[bool]string{true: "4", false: "6"}[a.Is4()])
	}
	return strings.Join(out, " ")
}
