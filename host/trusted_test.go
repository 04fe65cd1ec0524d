package host_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a client says of whose request it passes on is believed of trusted proxies only, as
// which the address counts that the PROXY protocol tells, not the load balancer's.
func TestTrustedProxies(t *testing.T) {
	up := serve(t, nil)
	g := start(t, files{"wasmgate.yaml": `listen: {https: "127.0.0.1:0", http: "", admin: "127.0.0.1:0", proxy_protocol: ["127.0.0.1"], trusted_proxies: ["203.0.113.0/24", "2001:db8::/32"]}`,
		"apis/a.yaml": passing(up.URL)})
	for source, want := range map[string]struct{ via, forwarded string }{
		"TCP4 203.0.113.7 10.0.0.1":     {"192.0.2.9, 203.0.113.7", "for=192.0.2.9"},
		"TCP6 2001:db8::7 2001:db9::1":  {"192.0.2.9, 2001:db8::7", "for=192.0.2.9"},
		"TCP4 198.51.100.1 10.0.0.1":    {"198.51.100.1", ""},
		"TCP4 127.0.0.1 203.0.113.7":    {"127.0.0.1", ""},
		"TCP6 2001:db9::1 2001:db8::99": {"2001:db9::1", ""},
	} {
		for _, http2 := range []bool{false, true} {
			c := g.client(http2)
			c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
				conn, err := net.Dial("tcp", g.https)
				if err == nil {
					_, err = io.WriteString(conn, "PROXY "+source+" 1234 443\r\n")
				}
				return conn, err
			}
			get(t, c, site+"/x", "X-Forwarded-For: 192.0.2.9", "Forwarded: for=192.0.2.9", "X-Forwarded-Host: evil.example")
			h := up.last(t).header
			require.Equal(t, want.via, h.Get("x-forwarded-for"), source)
			require.Equal(t, want.forwarded, h.Get("forwarded"), source)
			require.Equal(t, "api.execute-api.localhost", h.Get("x-forwarded-host"), source)
			c.CloseIdleConnections()
		}
	}
}
