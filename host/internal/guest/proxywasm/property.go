package proxywasm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// Facts are what a stream's properties tell. Exchange is needed.
type Facts struct {
	Exchange *exchange.Exchange
	// Route is the route's key, API the API's id.
	Route, API string
	// Cluster names the upstream; empty when it is not known before.
	Cluster string
	// Principal is who was authorized; empty is nobody.
	Principal string
}

// properties are what a guest keeps with a context.
type properties struct {
	values map[string][]byte
	bytes  int
}

// maxProperties bounds what a guest may keep with one context.
const maxProperties = 256 << 10

func (p *properties) set(path string, value []byte) status {
	grow := len(value) - len(p.values[path])
	if _, ok := p.values[path]; !ok {
		grow += len(path) + entryOverhead
	}
	if p.bytes+grow > maxProperties {
		return statusInternal
	}
	if p.values == nil {
		p.values = map[string][]byte{}
	}
	p.bytes += grow
	p.values[path] = append([]byte{}, value...)
	return statusOK
}

func hostGetProperty(v *vm, w []uint64) status {
	path, st := v.text(w[0], w[1])
	if st != statusOK {
		return st
	}
	value, found := v.property(path)
	if !found {
		return statusNotFound
	}
	return v.give(value, w[2], w[3])
}

func hostSetProperty(v *vm, w []uint64) status {
	path, st := v.text(w[0], w[1])
	value, ok := v.bytes(w[2], w[3])
	switch {
	case !ok:
		return statusInvalidMemory
	case st != statusOK:
		return st
	case path == "":
		return statusBadArgument
	}
	if s := v.stream(); s != nil {
		return s.properties.set(path, value)
	}
	return v.properties.set(path, value)
}

// property is what stands at a path, whose segments are parted by NUL: a fact of the host,
// or what the guest set.
func (v *vm) property(path string) ([]byte, bool) {
	path = strings.TrimSuffix(path, "\x00") // some SDKs end each segment with it
	root, rest, _ := strings.Cut(path, "\x00")
	switch root {
	case "plugin_name", "plugin_vm_id":
		return []byte(v.p.Name), rest == ""
	case "plugin_root_id": // the C++ SDK aborts unless it gets one, empty if need be
		return []byte{}, rest == ""
	}
	s := v.stream()
	if s != nil {
		if value, found := s.fact(root, rest); found {
			return value, true
		}
		if value, found := s.properties.values[path]; found {
			return value, true
		}
	}
	value, found := v.properties.values[path]
	return value, found
}

// fact is one thing that the host knows of a stream.
func (s *Stream) fact(root, member string) ([]byte, bool) {
	x := s.facts.Exchange
	switch root {
	case "request":
		return s.requestFact(x, member)
	case "response":
		return s.responseFact(x, member)
	case "connection":
		return connectionFact(x, member)
	case "source":
		return addressFact(x.Remote, member)
	case "destination":
		return addressFact(x.Conn.Local, member)
	case "upstream":
		return addressFact(x.Upstream, member)
	}
	if member != "" {
		return nil, false
	}
	switch root {
	case "route_name":
		return present(s.facts.Route)
	case "cluster_name":
		return present(s.facts.Cluster)
	case "connection_id":
		return number(x.Conn.ID), x.Conn.ID != 0
	case "listener_direction":
		return number(1), true // inbound
	case "x_request_id":
		return present(string(x.ID[:]))
	}
	return nil, false
}

func present(s string) ([]byte, bool) { return []byte(s), s != "" }

// number is an integer as properties have it.
func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func boolean(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}

func addressFact(a netip.AddrPort, member string) ([]byte, bool) {
	switch {
	case !a.IsValid():
		return nil, false
	case member == "address":
		return []byte(a.String()), true
	case member == "port":
		return number(uint64(a.Port())), true
	}
	return nil, false
}

func (s *Stream) requestFact(x *exchange.Exchange, member string) ([]byte, bool) {
	// In Envoy the head of the request is gone when the response comes; here it stays, as
	// it is in the log.
	head := func(name string) ([]byte, bool) {
		value, found := (&headerMap{fields: s.request.headers.fields}).get([]byte(name))
		return value, found
	}
	member, name, named := strings.Cut(member, "\x00")
	if named != (member == "headers" && name != "") {
		return nil, false
	}
	path, _ := head(":path")
	before, query, _ := strings.Cut(string(path), "?")
	switch member {
	case "headers":
		if !named {
			return appendPairs(nil, s.request.headers.fields), true
		}
		return head(name)
	case "path":
		return path, true
	case "url_path":
		return []byte(before), true
	case "query":
		return []byte(query), true
	case "host":
		return head(":authority")
	case "method", "scheme":
		return head(":" + member)
	case "referer":
		return head("referer")
	case "useragent":
		return head("user-agent")
	case "id":
		return x.ID[:], true
	case "protocol":
		return []byte(protocol(x.Conn.Protocol)), true
	case "time":
		return number(uint64(x.Start.UnixNano())), true
	case "duration":
		return number(uint64(time.Since(x.Start).Nanoseconds())), s.phase == phaseLog
	case "size":
		return number(uint64(s.request.seen(x.BodyLength))), true
	case "total_size":
		return number(uint64(s.request.seen(x.BodyLength)) + uint64(sizeOfPairs(s.request.headers.fields))), true
	}
	return nil, false
}

// protocol is what Envoy calls it.
func protocol(p string) string {
	if p == "HTTP/2.0" {
		return "HTTP/2"
	}
	return p
}

// seen is the size of a body: what was announced, or what has come.
func (h *half) seen(announced int64) int64 { return max(h.size, announced, 0) }

func (s *Stream) responseFact(x *exchange.Exchange, member string) ([]byte, bool) {
	if s.phase < phaseResponse {
		return nil, false
	}
	r := &x.Response
	size := max(s.response.size, r.Sent, int64(len(r.Body)))
	member, name, named := strings.Cut(member, "\x00")
	if named && (member != "headers" && member != "trailers" || name == "") {
		return nil, false
	}
	m := &s.response.headers
	if member == "trailers" {
		m = &s.response.trailers
	}
	switch member {
	case "headers", "trailers":
		if named {
			return m.get([]byte(name))
		}
		return appendPairs(nil, m.fields), true
	case "code":
		status, _ := s.response.headers.get([]byte(":status"))
		code, err := strconv.ParseUint(string(status), 10, 16)
		return number(code), err == nil
	case "size":
		return number(uint64(size)), true
	case "total_size":
		return number(uint64(size) + uint64(sizeOfPairs(s.response.headers.fields))), true
	case "flags":
		return number(0), true
	}
	return nil, false
}

func connectionFact(x *exchange.Exchange, member string) ([]byte, bool) {
	c := x.Conn
	switch member {
	case "id":
		return number(c.ID), c.ID != 0
	case "mtls":
		return boolean(len(c.PeerCertificates) > 0), true
	case "tls_version":
		return present(c.TLSVersion)
	case "requested_server_name":
		return present(c.ServerName)
	}
	if len(c.PeerCertificates) == 0 {
		return nil, false
	}
	leaf := c.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	facts := map[string]string{
		"subject_peer_certificate":       leaf.Subject.String(),
		"sha256_peer_certificate_digest": hex.EncodeToString(sum[:]),
	}
	if len(leaf.DNSNames) > 0 {
		facts["dns_san_peer_certificate"] = leaf.DNSNames[0]
	}
	if len(leaf.URIs) > 0 {
		facts["uri_san_peer_certificate"] = leaf.URIs[0].String()
	}
	if !slices.Contains(slices.Collect(maps.Keys(facts)), member) {
		return nil, false
	}
	return []byte(facts[member]), true
}
