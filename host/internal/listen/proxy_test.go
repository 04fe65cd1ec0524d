package listen

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// binaryHeader is a header of version 2.
func binaryHeader(command, family byte, body string) string {
	head := []byte(proxySignature + string([]byte{command, family, 0, 0}) + body)
	binary.BigEndian.PutUint16(head[14:], uint16(len(body)))
	return string(head)
}

const (
	fourBody = "\xc0\x00\x02\x01\x0a\x00\x00\x01\x04\xd2\x01\xbb" // 192.0.2.1 to 10.0.0.1, 1234 to 443
	sixBody  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x04\xd2\x01\xbb"
)

// checksummed is a header with a right or wrong checksum in front of another extension.
func checksummed(right bool) string {
	head := []byte(binaryHeader(proxyProxy, proxyTCP4, fourBody+"\x03\x00\x04\x00\x00\x00\x00\x02\x00\x03foo"))
	sum := crc32.Checksum(head, crc32.MakeTable(crc32.Castagnoli))
	if !right {
		sum++
	}
	binary.BigEndian.PutUint32(head[16+len(fourBody)+3:], sum)
	return string(head)
}

var proxyHeaders = map[string]struct {
	header string
	source string // "" is refused, "-" speaks for itself
}{
	"1: TCP4":                    {"PROXY TCP4 192.0.2.1 10.0.0.1 1234 443\r\n", "192.0.2.1:1234"},
	"1: TCP6":                    {"PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n", "[2001:db8::1]:1234"},
	"1: the longest":             {"PROXY TCP6 ffff:f...f:ffff:ffff:ffff:ffff:ffff:ffff ::1 1 2\r\n", ""},
	"1: unknown":                 {"PROXY UNKNOWN\r\n", "-"},
	"1: unknown and more":        {"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "-"},
	"1: unknown of 107 bytes":    {"PROXY UNKNOWN " + strings.Repeat("x", 107-14-2) + "\r\n", "-"},
	"1: unknown of 108 bytes":    {"PROXY UNKNOWN " + strings.Repeat("x", 108-14-2) + "\r\n", ""},
	"1: no end":                  {"PROXY TCP4 " + strings.Repeat("1", 200), ""},
	"1: bare LF":                 {"PROXY TCP4 192.0.2.1 10.0.0.1 1234 443\n", ""},
	"1: two blanks":              {"PROXY TCP4  192.0.2.1 10.0.0.1 1234 443\r\n", ""},
	"1: family of the other":     {"PROXY TCP4 2001:db8::1 2001:db8::2 1234 443\r\n", ""},
	"1: address of 4 as 6":       {"PROXY TCP6 192.0.2.1 10.0.0.1 1234 443\r\n", ""},
	"1: mapped":                  {"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.1 1234 443\r\n", "192.0.2.1:1234"},
	"1: zone":                    {"PROXY TCP6 fe80::1%eth0 fe80::2 1234 443\r\n", ""},
	"1: leading zero of a port":  {"PROXY TCP4 192.0.2.1 10.0.0.1 01234 443\r\n", ""},
	"1: port above 65535":        {"PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n", ""},
	"1: leading zero of a byte":  {"PROXY TCP4 192.0.2.01 10.0.0.1 1234 443\r\n", ""},
	"1: destination malformed":   {"PROXY TCP4 192.0.2.1 10.0.0 1234 443\r\n", ""},
	"1: lower case":              {"proxy TCP4 192.0.2.1 10.0.0.1 1234 443\r\n", ""},
	"1: UDP":                     {"PROXY UDP4 192.0.2.1 10.0.0.1 1234 443\r\n", ""},
	"2: TCP4":                    {binaryHeader(proxyProxy, proxyTCP4, fourBody), "192.0.2.1:1234"},
	"2: TCP6":                    {binaryHeader(proxyProxy, proxyTCP6, sixBody), "[2001:db8::1]:1234"},
	"2: local":                   {binaryHeader(proxyLocal, 0, ""), "-"},
	"2: local with addresses":    {binaryHeader(proxyLocal, proxyTCP4, fourBody), "-"},
	"2: unspecified":             {binaryHeader(proxyProxy, 0, "anything"), "-"},
	"2: extensions":              {binaryHeader(proxyProxy, proxyTCP4, fourBody+"\x02\x00\x03foo\x04\x00\x00"), "192.0.2.1:1234"},
	"2: checksum":                {checksummed(true), "192.0.2.1:1234"},
	"2: wrong checksum":          {checksummed(false), ""},
	"2: checksum of three bytes": {binaryHeader(proxyProxy, proxyTCP4, fourBody+"\x03\x00\x03abc"), ""},
	"2: extension cut off":       {binaryHeader(proxyProxy, proxyTCP4, fourBody+"\x02\x00\x04foo"), ""},
	"2: extension without head":  {binaryHeader(proxyProxy, proxyTCP4, fourBody+"\x02\x00"), ""},
	"2: too short for TCP4":      {binaryHeader(proxyProxy, proxyTCP4, fourBody[:11]), ""},
	"2: too short for TCP6":      {binaryHeader(proxyProxy, proxyTCP6, fourBody), ""},
	"2: UDP":                     {binaryHeader(proxyProxy, 0x12, fourBody), ""},
	"2: Unix":                    {binaryHeader(proxyProxy, 0x31, strings.Repeat("\x00", 216)), ""},
	"2: version 3":               {binaryHeader(0x31, proxyTCP4, fourBody), ""},
	"2: unknown command":         {binaryHeader(0x22, proxyTCP4, fourBody), ""},
	"2: beyond the limit":        {binaryHeader(proxyProxy, proxyTCP4, fourBody+strings.Repeat("\x00", maxProxyBytes)), ""},
	"neither":                    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
}

func TestProxyHeaders(t *testing.T) {
	for name, k := range proxyHeaders {
		t.Run(name, func(t *testing.T) {
			r := strings.NewReader(k.header + "what follows")
			source, err := readProxyHeader(r)
			if k.source == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, len("what follows"), r.Len(), "not a byte more is read")
			if k.source == "-" {
				require.False(t, source.IsValid())
			} else {
				require.Equal(t, k.source, source.String())
			}
			for cut := range len(k.header) {
				_, err := readProxyHeader(strings.NewReader(k.header[:cut]))
				require.Error(t, err, "cut at %d", cut)
			}
		})
	}
}

func FuzzProxyHeader(f *testing.F) {
	for _, k := range proxyHeaders {
		f.Add([]byte(k.header))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		source, err := readProxyHeader(r)
		if err != nil {
			return
		}
		if source.IsValid() && (source.Addr().Zone() != "" || source.Addr().Is4In6()) {
			t.Fatalf("source %s", source)
		}
		head := b[:len(b)-r.Len()]
		again, err := readProxyHeader(bytes.NewReader(bytes.Clone(head)))
		if err != nil || again != source {
			t.Fatalf("header %q alone: %s, %v; want %s", head, again, err, source)
		}
	})
}

// whoami answers with the client's address.
func whoami(x *exchange.Exchange) {
	x.Response.Status = 200
	x.Response.SetBody([]byte(x.Remote.String()))
}

// proxied takes every peer for a proxy.
func proxied(o *Options) { o.Limits.Proxied = func(netip.Addr) bool { return true } }

// behind connects with a header in front.
func (g *gate) behind(addr, header string) net.Conn {
	g.t.Helper()
	raw, err := net.Dial("tcp", addr)
	require.NoError(g.t, err)
	_, err = raw.Write([]byte(header))
	require.NoError(g.t, err)
	g.t.Cleanup(func() { raw.Close() })
	return raw
}

func TestProxyProtocol(t *testing.T) {
	g := start(t, handlerFunc(whoami), func(o *Options) {
		proxied(o)
		o.Limits.ConnectionsPerAddress = 2
	})
	for _, protocol := range []string{"http/1.1", "h2"} {
		for header, want := range map[string]string{
			proxyHeaders["1: TCP4"].header: "192.0.2.1:1234", proxyHeaders["2: TCP6"].header: "[2001:db8::1]:1234",
		} {
			tr := &http.Transport{ForceAttemptHTTP2: protocol == "h2", DialTLS: func(string, string) (net.Conn, error) {
				config := g.client.Clone()
				config.NextProtos = []string{protocol}
				conn := tls.Client(g.behind(g.addr, header), config)
				return conn, conn.Handshake()
			}}
			client := &http.Client{Transport: tr, Timeout: patience}
			resp, err := client.Get("https://localhost/")
			require.NoError(t, err)
			var body bytes.Buffer
			body.ReadFrom(resp.Body)
			resp.Body.Close()
			require.Equal(t, want, body.String())
			require.Equal(t, protocol == "h2", resp.ProtoMajor == 2)
			tr.CloseIdleConnections()
		}
	}
	c := g.wrap(g.behind(g.plain, proxyHeaders["1: TCP4"].header))
	c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	r, _ := c.receive("GET")
	require.Equal(t, http.StatusPermanentRedirect, r.StatusCode, "the plain listener, too")
	require.Empty(t, g.reasons())
}

func TestProxyProtocolRefuses(t *testing.T) {
	g := start(t, handlerFunc(whoami), func(o *Options) {
		proxied(o)
		o.Timeouts.Hello = 100 * time.Millisecond
	})
	for name, k := range map[string]struct{ sent, reason string }{
		"no header": {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a hello", ReasonProxy},
		"malformed": {proxyHeaders["1: bare LF"].header, ReasonProxy},
		"half":      {"PROXY TCP4 192.0", ReasonHelloSlow},
		"nothing":   {"", ReasonHelloSlow},
	} {
		t.Run(name, func(t *testing.T) {
			g.mu.Lock()
			g.refused = nil
			g.mu.Unlock()
			conn := g.behind(g.addr, k.sent)
			conn.SetReadDeadline(time.Now().Add(patience))
			_, err := conn.Read(make([]byte, 1))
			require.Error(t, err)
			require.Eventually(t, func() bool { return fmt.Sprint(g.reasons()) == fmt.Sprint([]string{k.reason}) }, patience, time.Millisecond, "%v", g.reasons())
		})
	}
}

// The limit of connections from one address counts clients, not the proxy.
func TestProxyProtocolCountsClients(t *testing.T) {
	g := start(t, handlerFunc(whoami), func(o *Options) {
		proxied(o)
		o.Limits.ConnectionsPerAddress = 1
	})
	shake := func(source string) (net.Conn, error) {
		header := "PROXY TCP4 " + source + " 10.0.0.1 1234 443\r\n"
		if strings.Contains(source, ":") {
			header = "PROXY TCP6 " + source + " ::1 1234 443\r\n"
		}
		conn := tls.Client(g.behind(g.addr, header), g.client)
		return conn, conn.Handshake()
	}
	for _, source := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8:0:1::1"} {
		_, err := shake(source)
		require.NoError(t, err)
	}
	for _, source := range []string{"192.0.2.2", "2001:db8::ffff:ffff:ffff:ffff"} { // whose network has one
		_, err := shake(source)
		require.Error(t, err)
	}
	require.Equal(t, []string{ReasonAddress, ReasonAddress}, g.reasons())
}

// A stranger's header is no header.
func TestProxyProtocolOfStrangers(t *testing.T) {
	g := start(t, handlerFunc(whoami), func(o *Options) {
		o.Limits.Proxied = func(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.1") }
	})
	conn := tls.Client(g.behind(g.addr, proxyHeaders["1: TCP4"].header), g.client)
	require.Error(t, conn.Handshake())
	require.Eventually(t, func() bool { return fmt.Sprint(g.reasons()) == fmt.Sprint([]string{ReasonHello}) }, patience, time.Millisecond)
}
