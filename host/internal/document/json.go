package document

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/wasmgate/wasmgate/host/model"
)

// parseJSON reads RFC 8259 JSON into the nodes that YAML has. YAML's own parser would
// refuse tabs and surrogate pairs, and take five times as long.
func parseJSON(file string, data []byte) (root *yaml.Node, err error) {
	p := &jsonParser{file: file, data: string(data), line: 1}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case Errors:
			root, err = nil, e
		default:
			panic(e) // a defect of the parser's
		}
	}()
	p.blank()
	if p.at == len(p.data) {
		return nil, nil
	}
	root = p.value(0)
	p.blank()
	if p.at < len(p.data) {
		p.fail("more after the end of the value", "nothing")
	}
	return root, nil
}

type jsonParser struct {
	file  string
	data  string
	at    int
	line  int
	start int // offset of the line
}

func (p *jsonParser) column() int { return utf8.RuneCountInString(p.data[p.start:p.at]) + 1 }

// fail panics with Errors, which parseJSON recovers.
func (p *jsonParser) fail(got, want string) {
	panic(Errors{{Position: model.Position{File: p.file, Line: p.line, Column: p.column()}, Got: got, Want: want}})
}

// unexpected fails with what stands at the cursor.
func (p *jsonParser) unexpected(want string) {
	if p.at >= len(p.data) {
		p.fail("the end of the file", want)
	}
	r, _ := utf8.DecodeRuneInString(p.data[p.at:])
	p.fail(fmt.Sprintf("%q", string(r)), want)
}

func (p *jsonParser) blank() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case '\n':
			p.line, p.start = p.line+1, p.at+1
		case ' ', '\t', '\r':
		default:
			return
		}
		p.at++
	}
}

func (p *jsonParser) peek() byte {
	p.blank()
	if p.at == len(p.data) {
		return 0
	}
	return p.data[p.at]
}

func (p *jsonParser) node(kind yaml.Kind, tag string) *yaml.Node {
	return &yaml.Node{Kind: kind, Tag: tag, Line: p.line, Column: p.column()}
}

func (p *jsonParser) value(depth int) *yaml.Node {
	if depth > maxDepth {
		p.fail(fmt.Sprintf("nesting deeper than %d", maxDepth), "a flatter document")
	}
	switch c := p.peek(); {
	case c == '{':
		n := p.node(yaml.MappingNode, "!!map")
		p.members('}', func() {
			if p.peek() != '"' {
				p.unexpected("a key in double quotes")
			}
			key := p.text()
			if p.peek() != ':' {
				p.unexpected(`":"`)
			}
			p.at++
			n.Content = append(n.Content, key, p.value(depth+1))
		})
		return n
	case c == '[':
		n := p.node(yaml.SequenceNode, "!!seq")
		p.members(']', func() { n.Content = append(n.Content, p.value(depth+1)) })
		return n
	case c == '"':
		return p.text()
	}
	return p.literal()
}

// members reads what stands between the bracket at the cursor and end.
func (p *jsonParser) members(end byte, member func()) {
	p.at++
	if p.peek() == end {
		p.at++
		return
	}
	for {
		member()
		switch p.peek() {
		case ',':
			p.at++
		case end:
			p.at++
			return
		default:
			p.unexpected(fmt.Sprintf(`"," or %q`, string(end)))
		}
	}
}

func (p *jsonParser) text() *yaml.Node {
	n := p.node(yaml.ScalarNode, "!!str")
	n.Style = yaml.DoubleQuotedStyle
	first, escaped := p.at, false
	for p.at++; ; p.at++ {
		if p.at >= len(p.data) {
			p.unexpected(`"\""`)
		}
		switch c := p.data[p.at]; {
		case c == '\\':
			escaped = true
			p.at = min(p.at+1, len(p.data)-1) // what follows is no end; Unmarshal judges it
		case c == '"':
			p.at++
			n.Value = p.data[first+1 : p.at-1]
			if escaped && json.Unmarshal([]byte(p.data[first:p.at]), &n.Value) != nil {
				p.at = first
				p.fail("a text with a bad escape", "JSON")
			}
			return n
		case c < ' ':
			p.unexpected("no raw control character in a text")
		}
	}
}

func (p *jsonParser) literal() *yaml.Node {
	n := p.node(yaml.ScalarNode, "!!int")
	length := strings.IndexAny(p.data[p.at:], " \t\r\n,]}")
	if length < 0 {
		length = len(p.data) - p.at
	}
	n.Value = p.data[p.at : p.at+length]
	switch {
	case n.Value == "true", n.Value == "false":
		n.Tag = "!!bool"
	case n.Value == "null":
		n.Tag = "!!null"
	case length == 0 || n.Value[0] != '-' && (n.Value[0] < '0' || n.Value[0] > '9') || !json.Valid([]byte(n.Value)):
		p.unexpected("a JSON value")
	case strings.ContainsAny(n.Value, ".eE"):
		n.Tag = "!!float"
	}
	p.at += length
	return n
}
