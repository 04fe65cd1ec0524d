package abi

import (
	"bytes"
	"fmt"
)

// Selector names a value of the request or response that the host reads anew each time
// a template is used. 0 is none.
type Selector uint8

// String is the selector's name without argument, or its number when it is unknown.
func (s Selector) String() string {
	if int(s) < len(selectorTable) && s != 0 {
		return selectorTable[s].name
	}
	return fmt.Sprint(uint8(s))
}

// HasArg tells whether the selector needs an argument: header.NAME.
func (s Selector) HasArg() bool { return int(s) < len(selectorTable) && selectorTable[s].arg }

// ParseSelector takes a selector such as header.x-api-key or source_ip apart. It refuses
// an unknown name, a missing or needless argument, a text over [MaxSelectorBytes], and a
// header name that is not lower case, which would never match. Arg aliases text.
func ParseSelector(text []byte) (s Selector, arg []byte, err error) {
	if len(text) > MaxSelectorBytes {
		return 0, nil, fmt.Errorf("selector of %d bytes, want at most %d", len(text), MaxSelectorBytes)
	}
	name, arg, dotted := bytes.Cut(text, []byte("."))
	s = lookUpSelector(string(name))
	switch {
	case s == 0:
		return 0, nil, fmt.Errorf("unknown selector %q", text)
	case dotted && !s.HasArg():
		return 0, nil, fmt.Errorf("selector %q takes no argument", text)
	case s.HasArg() && len(arg) == 0:
		return 0, nil, fmt.Errorf("selector %q wants an argument: %s.NAME", text, name)
	case (s == SelectorHeader || s == SelectorResponseHeader) && hasUpper(arg):
		return 0, nil, fmt.Errorf("selector %q: header names are lower case", text)
	case !dotted:
		arg = nil
	}
	return s, arg, nil
}

func hasUpper(b []byte) bool {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}
