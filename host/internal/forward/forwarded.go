package forward

import (
	"math/rand/v2"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

const hexDigits = "0123456789abcdef"

// header is what is sent: the call's fields, and with Forwarded what Amazon's http_proxy
// adds. The door has dropped such fields of strangers; what is there is a trusted proxy's.
func (k *call) header(c *conn) *exchange.Header {
	h := &c.sending
	h.Reset()
	if !k.Forwarded {
		if k.Header == nil {
			return h
		}
		return k.Header
	}
	var path [256]byte
	via, traced := path[:0], false
	if k.Header != nil {
		for i := range k.Header.Len() {
			f := k.Header.At(i)
			switch string(f.Name) {
			case "x-forwarded-for":
				via = append(append(via, f.Value...), ", "...)
				continue
			case "x-forwarded-proto", "x-forwarded-port", "x-forwarded-host":
				continue
			case "x-amzn-trace-id":
				traced = true
			}
			h.AppendAlias(f.Name, f.Value)
		}
	}
	h.AddBytes("x-forwarded-for", k.x.Remote.Addr().AppendTo(via))
	h.Add("x-forwarded-proto", "https")
	h.Add("x-forwarded-port", portOf(k.x.Authority))
	if k.x.Authority != "" {
		h.Add("x-forwarded-host", k.x.Authority)
	}
	if !traced {
		var id [40]byte
		h.AddBytes("x-amzn-trace-id", k.traceID(id[:0]))
	}
	return h
}

// portOf is the port that the client asked for; without one it is that of https.
func portOf(authority string) string {
	for i := len(authority) - 1; i >= 0; i-- {
		if c := authority[i]; c == ':' && i < len(authority)-1 {
			return authority[i+1:]
		} else if c < '0' || c > '9' {
			break
		}
	}
	return "443"
}

// traceID appends Root=1-{time}-{96 random bits}, as X-Ray has it.
func (k *call) traceID(b []byte) []byte {
	b = append(b, "Root=1-"...)
	b = appendHex(b, uint64(k.start.Unix()), 8)
	b = append(b, '-')
	if k.trace == [2]uint64{} { // a repeated request is the same one
		k.trace = [2]uint64{rand.Uint64(), rand.Uint64()}
	}
	b = appendHex(b, k.trace[0], 16)
	return appendHex(b, k.trace[1], 8)
}

func appendHex(b []byte, n uint64, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		b = append(b, hexDigits[n>>(4*i)&15])
	}
	return b
}
