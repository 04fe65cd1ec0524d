package field

import (
	"strconv"
	"strings"
)

// Name is a header name in lower case; fault is empty when it is a token.
func Name(s string) (lower, fault string) {
	if !IsToken(s) {
		return "", "header name " + strconv.Quote(s) + " has a byte that may not stand in one"
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b), ""
}

// Settable is [Name] for a field that an edit may change: the gateway alone writes those
// that frame the message, name the host, or belong to one connection (RFC 9110, 7.6.1).
func Settable(s string) (lower, fault string) {
	lower, fault = Name(s)
	switch lower {
	case "connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade":
		return "", "header " + lower + " is the gateway's own"
	}
	return lower, fault
}

// IsToken tells whether s is a token (RFC 9110, 5.6.2): a header name, a method.
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9':
		case c == '!', '#' <= c && c <= '\'', c == '*', c == '+', c == '-', c == '.', c == '^', c == '_', c == '`', c == '|', c == '~':
		default:
			return false
		}
	}
	return s != ""
}

// Value tells what is wrong with a header value; empty when nothing is (RFC 9110, 5.5).
func Value(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "header value " + strconv.Quote(s) + " has a control byte"
		}
	}
	if strings.Trim(s, " \t") != s {
		return "header value " + strconv.Quote(s) + " begins or ends with a blank"
	}
	return ""
}
