package pipeline

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unsafe"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// selector is one thing of a request that the host can read without asking a guest.
type selector struct {
	kind abi.Selector
	arg  string // lower case for header names
}

// part is a literal, or a selector when its kind is set.
type part struct {
	literal string
	selector
}

// value is a template: its parts one after the other.
type value []part

// constant is the value when it needs no request.
func (v value) constant() (string, bool) {
	switch {
	case len(v) == 0:
		return "", true
	case len(v) == 1 && v[0].kind == 0:
		return v[0].literal, true
	}
	return "", false
}

// appendTo appends v as r has it; a selector of something absent adds nothing.
func (v value) appendTo(dst []byte, r *request) []byte {
	for i := range v {
		if v[i].kind == 0 {
			dst = append(dst, v[i].literal...)
			continue
		}
		dst, _ = r.selected(dst, v[i].selector)
	}
	return dst
}

// appendTuple appends v so that two values give the same bytes only when all their parts
// are the same: each part with its length, absent apart from empty (CVE-2026-71326,
// CVE-2026-33496: keys that were joined without).
func (v value) appendTuple(dst []byte, r *request) []byte {
	for i := range v {
		if v[i].kind == 0 {
			dst = appendPart(dst, v[i].literal)
			continue
		}
		dst = appendSelected(dst, r, v[i].selector)
	}
	return dst
}

func appendPart(dst []byte, s string) []byte {
	return append(append(dst, 1, byte(len(s)), byte(len(s)>>8), byte(len(s)>>16), byte(len(s)>>24)), s...)
}

func appendSelected(dst []byte, r *request, s selector) []byte {
	at := len(dst)
	dst = append(dst, 1, 0, 0, 0, 0)
	dst, present := r.selected(dst, s)
	if !present {
		dst[at] = 0
		return dst[:at+5]
	}
	n := len(dst) - at - 5
	dst[at+1], dst[at+2], dst[at+3], dst[at+4] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	return dst
}

// selected appends what s selects and tells whether there is such a thing.
func (r *request) selected(dst []byte, s selector) ([]byte, bool) {
	switch s.kind {
	case abi.SelectorHeader:
		return appendJoined(dst, &r.x.Header, s.arg)
	case abi.SelectorResponseHeader:
		return appendJoined(dst, &r.x.Response.Header, s.arg)
	case abi.SelectorParam:
		for _, p := range r.queryParams() {
			if p.name == s.arg {
				return append(dst, p.value...), true
			}
		}
		return dst, false
	case abi.SelectorPathParam:
		for _, p := range r.pathParams() {
			if p.Name == s.arg {
				return append(dst, p.Value...), true
			}
		}
		return dst, false
	case abi.SelectorStageVariable:
		v, ok := r.route.API.StageVariables[s.arg]
		return append(dst, v...), ok
	case abi.SelectorContext:
		for i := len(r.context) - 1; i >= 0; i-- {
			if r.context[i].name == s.arg {
				return append(dst, r.context[i].value...), true
			}
		}
		return dst, false
	case abi.SelectorCookie:
		v, ok := cookie(&r.x.Header, s.arg)
		return append(dst, v...), ok
	case abi.SelectorSourceIP:
		return append(dst, r.sourceIP()...), true
	case abi.SelectorSourceNetwork:
		return r.appendNetwork(dst), true
	case abi.SelectorCaller:
		return r.appendCaller(dst), true
	case abi.SelectorStatus:
		return strconv.AppendInt(dst, int64(r.x.Response.Status), 10), r.x.Response.Status != 0
	case abi.SelectorRequestID:
		return append(dst, r.x.ID[:]...), true
	}
	text := r.selectedText(s.kind)
	return append(dst, text...), text != ""
}

// appendNetwork appends the client's IPv4 address, or the /64 of its IPv6 address: a customer
// has at least so many addresses (RFC 6177), and would have as many buckets.
func (r *request) appendNetwork(dst []byte) []byte {
	addr := r.x.Remote.Addr().Unmap()
	if !addr.Is6() {
		return append(dst, r.sourceIP()...)
	}
	return netip.PrefixFrom(addr, 64).Masked().AppendTo(dst)
}

// appendCaller appends who calls. Its first word is the host's, so that the id of an API
// key cannot pose as a principal, nor either as an address.
func (r *request) appendCaller(dst []byte) []byte {
	switch {
	case r.principal != "":
		return append(append(dst, "principal:"...), r.principal...)
	case r.apiKeyID != "":
		return append(append(dst, "api_key:"...), r.apiKeyID...)
	}
	return r.appendNetwork(append(dst, "address:"...))
}

// selectedText is what the selectors of one plain string select.
func (r *request) selectedText(kind abi.Selector) string {
	switch kind {
	case abi.SelectorMethod:
		return r.method
	case abi.SelectorAuthority:
		return r.x.Authority
	case abi.SelectorPath:
		return r.path
	case abi.SelectorQuery:
		return r.query
	case abi.SelectorPrincipal:
		return r.principal
	case abi.SelectorAPIKeyID:
		return r.apiKeyID
	case abi.SelectorUsagePlanID:
		return r.usagePlanID
	case abi.SelectorAPIID:
		return r.route.API.ID
	case abi.SelectorStage:
		return r.route.API.Stage
	case abi.SelectorRoute:
		return r.route.Key
	}
	return ""
}

func appendJoined(dst []byte, h *exchange.Header, name string) ([]byte, bool) {
	found := false
	for v := range h.Values(name) {
		if found {
			dst = append(dst, ", "...)
		}
		dst = append(dst, v...)
		found = true
	}
	return dst, found
}

// cookie is the first cookie of that name (RFC 6265 5.4; HTTP/2 may split the field).
func cookie(h *exchange.Header, name string) (string, bool) {
	for line := range h.Values("cookie") {
		for pair := range strings.SplitSeq(text(line), ";") {
			if k, v, ok := strings.Cut(strings.TrimLeft(pair, " \t"), "="); ok && k == name {
				return v, true
			}
		}
	}
	return "", false
}

type pair struct{ name, value string }

// queryParams is the current query, decoded once. A pair that cannot be decoded is kept
// as it stands: what the plugin sees is what the upstream gets, never less (CVE-2026-39825).
func (r *request) queryParams() []pair {
	if r.paramsOf == r.query && r.paramsParsed {
		return r.params
	}
	r.params, r.paramsOf, r.paramsParsed = r.params[:0], r.query, true
	for piece := range strings.SplitSeq(r.query, "&") {
		if piece == "" {
			continue
		}
		k, v, _ := strings.Cut(piece, "=")
		r.params = append(r.params, pair{unescape(k), unescape(v)})
	}
	return r.params
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if d, err := url.QueryUnescape(s); err == nil {
		return d
	}
	return s
}

// text views b as a string without copying; it lives as long as b is unchanged.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
