package model

import (
	"fmt"
	"strconv"
	"strings"
)

// Segment is one part of a resource path.
type Segment struct {
	Kind SegmentKind
	// Text is the literal, or the name of the variable.
	Text string
}

// SegmentKind tells literals from variables.
type SegmentKind uint8

// The kinds of segment, most specific first.
const (
	Literal  SegmentKind = iota // itself
	Variable                    // {name}: any one segment
	Greedy                      // {name+}: all that is left, at least one segment
)

// DefaultPath is the path of an HTTP API's $default route.
const DefaultPath = "$default"

// PathError says what is wrong in a resource path.
type PathError struct{ Got, Want string }

// Error is "got X, want Y".
func (e *PathError) Error() string { return "got " + e.Got + ", want " + e.Want }

const (
	letters     = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	inVariable  = letters + "._-:"
	inLiteral   = letters + "-._~!$&'()*+,=:@"
	literalWant = "letters, digits and -._~!$&'()*+,=:@, or one whole {variable}"
)

// ParsePath splits a resource path such as /pets/{id}; of "/" nothing is left, and a
// slash at the end changes nothing, as at Amazon. Percent-encoding and ; are refused in
// literals: servers disagree on what is equal to them. The error is a [PathError].
func ParsePath(path string) ([]Segment, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, &PathError{strconv.Quote(path), "a path that starts with /"}
	}
	path = strings.TrimSuffix(path[1:], "/")
	if path == "" {
		return nil, nil
	}
	segments := make([]Segment, 0, strings.Count(path, "/")+1)
	for text := range strings.SplitSeq(path, "/") {
		if n := len(segments); n > 0 && segments[n-1].Kind == Greedy {
			return nil, &PathError{fmt.Sprintf("%q after {%s+}", text, segments[n-1].Text), "nothing: a greedy variable is the last"}
		}
		s, err := parseSegment(text)
		if err != nil {
			return nil, err
		}
		if s.Kind != Literal {
			for _, other := range segments {
				if other.Kind != Literal && other.Text == s.Text {
					return nil, &PathError{fmt.Sprintf("the variable %q again", s.Text), "each name once"}
				}
			}
		}
		segments = append(segments, s)
	}
	return segments, nil
}

func parseSegment(text string) (Segment, error) {
	if name, ok := strings.CutPrefix(text, "{"); ok && strings.HasSuffix(name, "}") {
		s := Segment{Variable, strings.TrimSuffix(name, "}")}
		if greedy, ok := strings.CutSuffix(s.Text, "+"); ok {
			s = Segment{Greedy, greedy}
		}
		if s.Text == "" || strings.Trim(s.Text, inVariable) != "" {
			return Segment{}, &PathError{fmt.Sprintf("the variable %q", text), "letters, digits and ._-: in its name"}
		}
		return s, nil
	}
	switch {
	case text == "":
		return Segment{}, &PathError{"an empty segment", literalWant}
	case text == "." || text == "..":
		return Segment{}, &PathError{fmt.Sprintf("the segment %q", text), "none that stands for another path"}
	}
	for _, r := range text {
		if !strings.ContainsRune(inLiteral, r) {
			return Segment{}, &PathError{fmt.Sprintf("%q in the segment %q", string(r), text), literalWant}
		}
	}
	return Segment{Literal, text}, nil
}
