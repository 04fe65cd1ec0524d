package http1

import "github.com/wasmgate/wasmgate/host/internal/exchange"

// maxConnections is how many Connection fields that name other fields one head may have.
const maxConnections = 4

// CleanRequest takes out of a request's header what [Request.Parse] takes out by itself;
// for heads of HTTP/2: fields that only the gateway sets (X-Forwarded-*, Forwarded,
// X-Real-IP, x-amzn-requestid and the like, also spelled with _), unless trusted, and TE.
// It refuses connection-specific fields (RFC 9113 8.2.2) and expectations other than
// 100-continue. trailers is set when the client takes trailers.
func CleanRequest(h *exchange.Header, trusted bool) (trailers bool, err error) {
	h.DeleteFunc(func(name, value []byte) bool {
		switch classOf(name) {
		case plain, guarded, late:
			return false
		case te:
			if trailers = equalFold(value, "trailers"); !trailers {
				err = errSpecific
			}
		case expect:
			if !equalFold(value, "100-continue") {
				err = errExpect
			}
		case ours:
			return !trusted || !forwarded(name)
		case hop:
			switch string(name) {
			case "trailer", "proxy-authenticate", "proxy-authorization", "proxy-authentication-info":
			default:
				err = errSpecific
			}
		case connection, transferEncoding:
			err = errSpecific
		}
		return true
	})
	return trailers, err
}

// forwarded tells whether a field of class ours may come from a trusted proxy.
func forwarded(name []byte) bool {
	return string(name) == "forwarded" || string(name) == "x-real-ip" || hasPrefix(name, "x-forwarded-")
}

// obeyConnection takes the Connection fields out of h with every field that they name
// (RFC 9110 7.6.1). Naming a field that the upstream or a policy relies on is refused:
// it is how a client makes a proxy drop what it had added (GO-2026-4597).
func obeyConnection(h *exchange.Header) (closes, keeps bool, err error) {
	var lists [maxConnections][]byte
	n := 0
	for value := range h.Values("connection") {
		if n == len(lists) {
			return false, false, errOption
		}
		lists[n] = value
		n++
	}
	for _, list := range lists[:n] {
		for option, rest := nextOption(list); option != nil; option, rest = nextOption(rest) {
			switch {
			case equalFold(option, "close"):
				closes = true
			case equalFold(option, "keep-alive"):
				keeps = true
			case !isToken(option):
				return false, false, errOption
			case !mayBeOption(option):
				return false, false, errOptionField
			}
		}
	}
	h.DeleteFunc(func(name, _ []byte) bool {
		if classOf(name) == connection {
			return true
		}
		for _, list := range lists[:n] {
			if hasToken(list, alias(name)) {
				return true
			}
		}
		return false
	})
	return closes, keeps, nil
}

// mayBeOption tells whether a connection option may name that field. option becomes lower case.
func mayBeOption(option []byte) bool {
	for i, c := range option {
		option[i] = lower[c]
	}
	switch classOf(option) {
	case plain, te, hop:
		return true
	}
	return false
}

// nextOption is the first element of a comma-separated list that is not empty, and the
// rest behind it; nil at the end.
func nextOption(list []byte) (option, rest []byte) {
	for len(list) > 0 {
		end := 0
		for end < len(list) && list[end] != ',' {
			end++
		}
		option, list = trim(list[:end]), list[min(end+1, len(list)):]
		if len(option) > 0 {
			return option, list
		}
	}
	return nil, nil
}

// hasToken tells whether a list has an element, ignoring case and what follows a semicolon.
func hasToken(list []byte, token string) bool {
	for option, rest := nextOption(list); option != nil; option, rest = nextOption(rest) {
		for i, c := range option {
			if c == ';' {
				option = trim(option[:i])
				break
			}
		}
		if equalFold(option, token) {
			return true
		}
	}
	return false
}
