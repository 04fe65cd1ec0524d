package cache

import (
	"bytes"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// notModified decides If-None-Match, else If-Modified-Since (RFC 9110 13.2.2), for a
// request that e would answer with 200.
func (e *entry) notModified(h *exchange.Header) bool {
	if e.status != 200 {
		return false
	}
	if h.Has("if-none-match") {
		for value := range h.Values("if-none-match") {
			if matchesAny(value, e.etag) {
				return true
			}
		}
		return false
	}
	since := h.Get("if-modified-since")
	if since == nil || e.modified.IsZero() {
		return false
	}
	at, ok := httpDate(since)
	return ok && !e.modified.After(at)
}

// matchesAny compares weakly (RFC 9110 8.8.3.2) with each tag of a list.
func matchesAny(list, etag []byte) bool {
	if string(bytes.TrimSpace(list)) == "*" {
		return true
	}
	if etag = bytes.TrimPrefix(etag, []byte("W/")); len(etag) == 0 {
		return false
	}
	for len(list) > 0 {
		list = bytes.TrimLeft(list, " \t,")
		list = bytes.TrimPrefix(list, []byte("W/"))
		if len(list) < 2 || list[0] != '"' {
			return false
		}
		end := bytes.IndexByte(list[1:], '"')
		if end < 0 {
			return false
		}
		if bytes.Equal(list[:end+2], etag) {
			return true
		}
		list = list[end+2:]
	}
	return false
}
