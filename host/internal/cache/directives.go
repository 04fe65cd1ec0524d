package cache

import (
	"bytes"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// absent is a number that a Cache-Control does not state, wrong one that it states badly.
const (
	absent int64 = -1
	wrong  int64 = -2
)

// directives is one message's Cache-Control (RFC 9111 5.2).
type directives struct {
	noStore, noCache, private, public             bool
	mustRevalidate, proxyRevalidate, onlyIfCached bool
	malformed                                     bool
	maxAge, sMaxAge, staleIfError                 int64 // seconds, absent or wrong
}

// invalidates tells whether a request wants an answer fetched anew.
func (d *directives) invalidates() bool { return d.noCache || d.maxAge == 0 }

// directivesOf parses every Cache-Control of h. What it cannot parse makes it malformed.
func directivesOf(h *exchange.Header) directives {
	d := directives{maxAge: absent, sMaxAge: absent, staleIfError: absent}
	for value := range h.Values("cache-control") {
		for len(value) > 0 {
			var name, arg []byte
			var ok bool
			if name, arg, value, ok = next(value); !ok {
				d.malformed = true
				return d
			}
			d.set(name, arg)
		}
	}
	return d
}

func (d *directives) set(name, arg []byte) {
	number := func(n *int64) {
		was := *n
		if *n = seconds(arg); *n < 0 || was != absent && was != *n {
			*n = wrong
		}
	}
	var lower [32]byte
	if len(name) > len(lower) {
		return
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	switch string(lower[:len(name)]) {
	case "no-store":
		d.noStore = true
	case "no-cache": // with field names too: those fields would have to be held back
		d.noCache = true
	case "private":
		d.private = true
	case "public":
		d.public = true
	case "must-revalidate":
		d.mustRevalidate = true
	case "proxy-revalidate":
		d.proxyRevalidate = true
	case "only-if-cached":
		d.onlyIfCached = true
	case "max-age":
		number(&d.maxAge)
	case "s-maxage":
		number(&d.sMaxAge)
	case "stale-if-error":
		number(&d.staleIfError)
	}
}

// next cuts one directive, token [ "=" ( token / quoted-string ) ], off a list.
func next(list []byte) (name, arg, rest []byte, ok bool) {
	list = bytes.TrimLeft(list, " \t,")
	if len(list) == 0 {
		return nil, nil, nil, true
	}
	n := bytes.IndexAny(list, "=, \t\"")
	if n < 0 {
		return list, nil, nil, true
	}
	name, rest = list[:n], list[n:]
	if n == 0 {
		return nil, nil, nil, false
	}
	if rest[0] == '=' {
		rest = rest[1:]
		if len(rest) > 0 && rest[0] == '"' {
			end := 1
			for end < len(rest) && rest[end] != '"' {
				if rest[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(rest) {
				return nil, nil, nil, false
			}
			arg, rest = rest[1:end], rest[end+1:]
		} else if n := bytes.IndexAny(rest, ", \t"); n >= 0 {
			arg, rest = rest[:n], rest[n:]
		} else {
			arg, rest = rest, nil
		}
	}
	rest = bytes.TrimLeft(rest, " \t")
	return name, arg, rest, len(rest) == 0 || rest[0] == ','
}
