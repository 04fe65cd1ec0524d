package selected

import (
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/template"
	"github.com/wasmgate/wasmgate/sdk/go"
)

// Value is what the selector, already checked, selects; found is false when there is no
// such thing in the request or the manifest did not ask for it.
func Value(r *wasmgate.Request, selector string) (value string, found bool) {
	name, arg, _ := strings.Cut(selector, ".")
	switch name {
	case "header":
		return r.Header(arg), r.Headers().Has(arg)
	case "response_header":
		return r.ResponseHeader(arg), r.ResponseHeaders().Has(arg)
	case "param":
		return r.QueryParams().Lookup(arg)
	case "path_param":
		return r.PathParams().Lookup(arg)
	case "stage_variable":
		return r.StageVariables().Lookup(arg)
	case "context": // the last, as the host has it: a later hook may set a value anew
		for v := range r.Context().Values(arg) {
			value, found = v, true
		}
		return value, found
	case "cookie":
		return cookie(r, arg)
	case "status":
		return strconv.Itoa(r.Status()), r.Status() != 0
	}
	value = text(r, name)
	return value, value != ""
}

// text is what the selectors without argument select.
func text(r *wasmgate.Request, name string) string {
	switch name {
	case "method":
		return r.Method()
	case "authority":
		return r.Authority()
	case "path":
		return r.Path()
	case "query":
		return r.Query()
	case "source_ip":
		return r.SourceIP()
	case "source_network":
		return network(r.SourceIP())
	case "caller":
		return caller(r)
	case "principal":
		return r.Principal()
	case "api_key_id":
		return r.APIKeyID()
	case "usage_plan_id":
		return r.UsagePlanID()
	case "api_id":
		return r.APIID()
	case "stage":
		return r.Stage()
	case "route":
		return r.Route()
	case "request_id":
		return r.ID()
	}
	return ""
}

// network is ip, or the /64 of an IPv6 address in the host's spelling (RFC 5952). Four groups
// of zeros stand behind, so that :: is always there. net/netip would cost 170 KB.
func network(ip string) string {
	if strings.IndexByte(ip, ':') < 0 {
		return ip
	}
	head, tail, short := strings.Cut(ip, "::")
	groups := split(head)
	if short {
		after := split(tail)
		for len(groups)+len(after) < 8 {
			groups = append(groups, "0")
		}
		groups = append(groups, after...)
	}
	n := min(4, len(groups))
	for n > 0 && groups[n-1] == "0" {
		n--
	}
	return strings.Join(groups[:n], ":") + "::/64"
}

func split(groups string) []string {
	if groups == "" {
		return nil
	}
	return strings.Split(groups, ":")
}

// caller is who calls, as the host says it.
func caller(r *wasmgate.Request) string {
	if v := r.Principal(); v != "" {
		return "principal:" + v
	}
	if v := r.APIKeyID(); v != "" {
		return "api_key:" + v
	}
	return "address:" + network(r.SourceIP())
}

func cookie(r *wasmgate.Request, name string) (string, bool) {
	for line := range r.Headers().Values("cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			if k, v, ok := strings.Cut(strings.TrimLeft(pair, " \t"), "="); ok && k == name {
				return v, true
			}
		}
	}
	return "", false
}

// Join is the text of a template for this request; what is absent adds nothing.
func Join(r *wasmgate.Request, t template.Template) string {
	out := ""
	for _, p := range t {
		if p.Selector == "" {
			out += p.Literal
			continue
		}
		v, _ := Value(r, p.Selector)
		out += v
	}
	return out
}

// PathSafe tells whether a selector may stand in a path as it is: the host gives it in
// the path's own encoding, or it is the operator's. All others hold bytes of the client's
// choice, / and .. among them.
func PathSafe(selector string) bool {
	name, _, _ := strings.Cut(selector, ".")
	switch name {
	case "path", "path_param", "stage_variable", "stage", "api_id":
		return true
	}
	return false
}

// Path is the text of a template for this request, for a path: what is not [PathSafe] is
// percent-encoded, so that it stays within one segment (RFC 3986, 3.3). ok is false for a
// value that is no name of a segment: empty, or dots, which no encoding makes safe.
func Path(r *wasmgate.Request, t template.Template) (path string, ok bool) {
	for _, p := range t {
		if p.Selector == "" {
			path += p.Literal
			continue
		}
		v, _ := Value(r, p.Selector)
		if !PathSafe(p.Selector) {
			if !IsSegment(v) {
				return "", false
			}
			v = Escape(v)
		}
		path += v
	}
	return path, true
}

// IsSegment tells whether a value can be one segment of a path.
func IsSegment(v string) bool { return v != "" && v != "." && v != ".." }

// Escape percent-encodes all but unreserved characters (RFC 3986, 2.3).
func Escape(s string) string { return escape(s, false) }

// EscapeAgain is [Escape] for what is percent-encoded already: % stays.
func EscapeAgain(s string) string { return escape(s, true) }

func escape(s string, keepPercent bool) string {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' || keepPercent && c == '%' {
			out = append(out, c)
		} else {
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(out)
}
