package route

import (
	"bytes"
	"strings"
)

// verdict is what a path looks like before it is matched.
type verdict uint8

const (
	plain     verdict = iota // every reader agrees
	ambiguous                // read it a second time
	bad                      // refuse it
)

// What a byte of a path, or one that a path encodes, means to a lax reader.
const (
	stop    = 1 << iota // to be looked at when it is raw
	raw                 // not to be there raw
	encoded             // to be read twice when it is encoded
	hidden              // not to be there encoded
)

var class = classes()

func classes() (c [256]uint8) {
	for b := range c {
		switch {
		case b < ' ' || b == 0x7f:
			c[b] = stop | raw | hidden
		case b >= '0' && b <= '9', b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b == '-', b == '.', b == '_', b == '~':
			c[b] = encoded
		case b == ' ':
			c[b] = stop | raw
		case b == '?', b == '#':
			c[b] = stop | raw | encoded
		case b == '\\', b == ';', b == '%', b == '/':
			c[b] = stop | encoded
		case b == 0xc0, b == 0xc1, b == 0xe0, b == 0xf0:
			c[b] = encoded // may start overlong UTF-8, which laxest finds
		}
	}
	return c
}

// examine looks at a target once.
func examine(target string) verdict {
	if target == "" || target[0] != '/' {
		return bad
	}
	if quiet(target) {
		return plain
	}
	found := plain
	for i := 0; i < len(target); i++ {
		b := target[i]
		if class[b]&stop == 0 {
			continue
		}
		switch {
		case b == '/':
			if i+1 == len(target) || target[i+1] != '/' && target[i+1] != '.' {
				continue
			}
			if dots(target[i+1:]) {
				return bad
			}
			if target[i+1] == '/' {
				found = ambiguous
			}
		case b == '%':
			value, ok := triplet(target[i:])
			if !ok || class[value]&hidden != 0 {
				return bad
			}
			if class[value]&encoded != 0 {
				found = ambiguous
			}
		case class[b]&raw != 0:
			return bad
		default:
			found = ambiguous
		}
	}
	return found
}

// quiet tells, eight bytes a step and without a branch that could be mispredicted, that a
// target which starts with a slash is plain: no byte is one of class's stops but slashes,
// none of which has a dot or slash behind it. When it is not sure, it says no.
func quiet(target string) bool {
	last := len(target) - 9
	if last < 0 {
		return false
	}
	for i := 0; ; i = min(i+8, last) {
		next := eight(target, i+1)
		here := next<<8 | uint64(target[i])
		found := zeros(here^'/'*ones) & zeros((next|1*ones)^'/'*ones) // . is / without that bit
		found |= (next - '!'*ones) &^ next                            // a control or a space
		found |= zeros((next | 0x44*ones) ^ 0x7f*ones)                // ; ? DEL, and {
		found |= zeros((next | 0x06*ones) ^ 0x27*ones)                // # %, and ! '
		found |= zeros(next ^ '\\'*ones)
		if found&highs != 0 {
			return false
		}
		if i == last {
			return true
		}
	}
}

// dots tells whether rest starts with a dot segment.
func dots(rest string) bool {
	segment, _, _ := strings.Cut(rest, "/")
	return segment == "." || segment == ".."
}

// triplet is the byte that %XX at the start of text stands for.
func triplet(text string) (value byte, ok bool) {
	if len(text) < 3 {
		return 0, false
	}
	high, low := digit(text[1]), digit(text[2])
	return high<<4 | low, high < 16 && low < 16
}

func digit(b byte) byte {
	switch {
	case b >= '0' && b <= '9':
		return b - '0'
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10
	}
	return 16
}

// maxDecodings is how often laxest decodes: each reader behind another decodes once.
const maxDecodings = 4

// laxest reads a target as the laxest upstream: decoded until nothing is encoded,
// backslashes as slashes, parameters (;x) cut off, empty segments dropped. Not ok when
// that shows a dot segment, a control byte or overlong UTF-8, or does not end.
func laxest(target string) (path string, ok bool) {
	text := []byte(target)
	for round := 0; ; round++ {
		decoded := decode(text)
		if len(decoded) == len(text) {
			break
		}
		if round == maxDecodings {
			return "", false
		}
		text = decoded
	}
	lax := make([]byte, 0, len(text))
	for segment := range bytes.SplitSeq(bytes.ReplaceAll(text, []byte{'\\'}, []byte{'/'}), []byte{'/'}) {
		segment, _, _ = bytes.Cut(segment, []byte{';'})
		if dot := string(segment); dot == "." || dot == ".." {
			return "", false
		}
		if len(segment) > 0 {
			lax = append(append(lax, '/'), segment...)
		}
	}
	for i, b := range lax {
		if class[b]&hidden != 0 || overlong(lax[i:]) {
			return "", false
		}
	}
	if len(lax) == 0 {
		return "/", true
	}
	return string(lax), true
}

// beforeQuery is what of a path that laxest read is left to an upstream that looks for a
// query or fragment after it has decoded (CVE-2024-38474).
func beforeQuery(lax string) string {
	if i := strings.IndexAny(lax, "?#"); i >= 0 {
		return lax[:i]
	}
	return lax
}

// decode decodes text once, in its own memory.
func decode(text []byte) []byte {
	decoded := text[:0]
	for i := 0; i < len(text); i++ {
		b := text[i]
		if b == '%' {
			if value, ok := triplet(string(text[i:min(i+3, len(text))])); ok {
				b = value
				i += 2
			}
		}
		decoded = append(decoded, b)
	}
	return decoded
}

// overlong tells whether text starts with a UTF-8 sequence longer than its character
// needs, by which old decoders are given a slash or a dot (RFC 3629, section 10).
func overlong(text []byte) bool {
	if len(text) < 2 || text[1]&0xc0 != 0x80 {
		return false
	}
	switch text[0] {
	case 0xc0, 0xc1:
		return true
	case 0xe0:
		return text[1] < 0xa0
	case 0xf0:
		return text[1] < 0x90
	}
	return false
}
