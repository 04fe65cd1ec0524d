package listen

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, versions 1 and 2, as HAProxy's specification of 2020-03-05 has it. A
// proxy that is trusted with it, and nobody else, tells in front of the connection's own
// bytes whose connection it passes on.

var errProxy = errors.New("PROXY protocol header is missing or malformed")

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	maxProxyLine   = 107     // of version 1, its CRLF included
	maxProxyBytes  = 4 * kib // of version 2, behind its first 16 bytes
)

// readProxyHeader reads a header and not a byte more. source is invalid when the proxy
// speaks for itself (health checks) or cannot tell.
func readProxyHeader(r io.Reader) (source netip.AddrPort, err error) {
	head := make([]byte, len(proxySignature), 16+maxProxyLine)
	if _, err := io.ReadFull(r, head); err != nil {
		return source, err
	}
	if string(head) == proxySignature {
		return readProxyBinary(r, head)
	}
	if !strings.HasPrefix(string(head), "PROXY ") {
		return source, errProxy
	}
	for !strings.HasSuffix(string(head), "\n") {
		if len(head) == maxProxyLine {
			return source, errProxy
		}
		head = head[:len(head)+1]
		if _, err := io.ReadFull(r, head[len(head)-1:]); err != nil {
			return source, err
		}
	}
	return parseProxyLine(string(head))
}

// parseProxyLine reads "PROXY TCP4 source destination port port CRLF".
func parseProxyLine(line string) (source netip.AddrPort, err error) {
	line, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return source, errProxy
	}
	if line == "PROXY UNKNOWN" || strings.HasPrefix(line, "PROXY UNKNOWN ") {
		return source, nil
	}
	words := strings.Split(line, " ")
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return source, errProxy
	}
	var ends [2]netip.AddrPort
	for i := range ends {
		addr, err := netip.ParseAddr(words[2+i])
		port, err2 := strconv.ParseUint(words[4+i], 10, 16)
		if err != nil || err2 != nil || addr.Zone() != "" || addr.Is4() != (words[1] == "TCP4") || strconv.FormatUint(port, 10) != words[4+i] {
			return source, errProxy
		}
		ends[i] = netip.AddrPortFrom(addr.Unmap(), uint16(port))
	}
	return ends[0], nil
}

// Commands and families of version 2.
const (
	proxyLocal = 0x20
	proxyProxy = 0x21
	proxyNone  = 0x00
	proxyTCP4  = 0x11
	proxyTCP6  = 0x21
	proxyCRC   = 0x03 // type of the checksum
)

// readProxyBinary reads what follows the signature in head.
func readProxyBinary(r io.Reader, head []byte) (source netip.AddrPort, err error) {
	head = head[:16]
	if _, err := io.ReadFull(r, head[len(proxySignature):]); err != nil {
		return source, err
	}
	command, family, n := head[12], head[13], int(binary.BigEndian.Uint16(head[14:]))
	if command != proxyLocal && command != proxyProxy || n > maxProxyBytes {
		return source, errProxy
	}
	all := append(head[:16:16], make([]byte, n)...)
	body := all[16:]
	if _, err := io.ReadFull(r, body); err != nil {
		return source, err
	}
	size := map[byte]int{proxyNone: 0, proxyTCP4: 4, proxyTCP6: 16}
	width, known := size[family]
	switch {
	case command == proxyLocal: // the family means nothing
		return source, nil
	case !known || n < 2*width+4 && width > 0:
		return source, errProxy
	case width > 0:
		addr, _ := netip.AddrFromSlice(body[:width])
		source = netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(body[2*width:]))
		body = body[2*width+4:]
	default:
		return source, nil // neither addresses nor what could follow them is known
	}
	if !proxyExtensions(all, body) {
		return netip.AddrPort{}, errProxy
	}
	return source, nil
}

// proxyExtensions walks the type-length-values in the tail of a header and checks the
// checksum, if there is one.
func proxyExtensions(all, tail []byte) bool {
	for len(tail) > 0 {
		if len(tail) < 3 || len(tail) < 3+int(binary.BigEndian.Uint16(tail[1:])) {
			return false
		}
		value := tail[3 : 3+binary.BigEndian.Uint16(tail[1:])]
		if tail[0] == proxyCRC {
			if len(value) != 4 {
				return false
			}
			want := binary.BigEndian.Uint32(value)
			clear(value) // it is computed over zeros in its own place
			if crc32.Checksum(all, crc32.MakeTable(crc32.Castagnoli)) != want {
				return false
			}
		}
		tail = tail[3+len(value):]
	}
	return true
}

// learn reads the header that c, which comes from a trusted proxy, begins with.
func (c *conn) learn() bool {
	c.enter(c.s.o.Timeouts.Hello)
	source, err := readProxyHeader(c.raw)
	reason := ""
	switch {
	case c.late.Load():
		reason = ReasonHelloSlow
	case err != nil:
		reason = ReasonProxy
	default:
		if source.IsValid() {
			c.remote = source
			c.trust()
		}
		reason = c.s.countAddress(c)
	}
	if reason != "" {
		c.s.refused(Refused{Remote: c.remote, Reason: reason})
	}
	return reason == ""
}
