package pattern

import "strconv"

const (
	maxLength = 256
	maxRepeat = 64
)

// Pattern is a compiled pattern. It is never changed.
type Pattern struct{ root node }

// node is a set of bytes, or a choice of sequences; repeated least to most times.
type node struct {
	set         [4]uint64 // bytes, ASCII only, when choices is nil
	choices     [][]node
	least, most int
}

const unbounded = -1

// Compile reads a pattern; a leading ^ and a trailing $ say nothing new and are taken.
// fault is empty when it is valid.
func Compile(text string) (p *Pattern, fault string) {
	if len(text) > maxLength {
		return nil, "longer than " + strconv.Itoa(maxLength) + " bytes"
	}
	c := compiler{text: text}
	if c.peek() == '^' {
		c.at++
	}
	p = &Pattern{node{least: 1, most: 1}}
	p.root.choices = c.choices(0)
	if c.fault == "" && c.at < len(text) {
		c.fail("unexpected " + strconv.Quote(text[c.at:c.at+1]))
	}
	if c.fault != "" {
		return nil, c.fault + " at byte " + strconv.Itoa(c.at)
	}
	return p, ""
}

// Match tells whether the whole of text matches.
func (p *Pattern) Match(text string) bool {
	return p.root.match(text, 0, 0, func(at int) bool { return at == len(text) })
}

// match tries n, already matched times times, at a byte, and then what follows.
func (n *node) match(text string, at, times int, then func(int) bool) bool {
	if n.most == unbounded || times < n.most {
		again := func(next int) bool {
			// A repetition that takes nothing would go on for ever.
			return (next > at || times < n.least) && n.match(text, next, times+1, then)
		}
		if n.once(text, at, again) {
			return true
		}
	}
	return times >= n.least && then(at)
}

func (n *node) once(text string, at int, then func(int) bool) bool {
	if n.choices == nil {
		return at < len(text) && n.has(text[at]) && then(at+1)
	}
	for _, sequence := range n.choices {
		if matchAll(sequence, text, at, then) {
			return true
		}
	}
	return false
}

func matchAll(sequence []node, text string, at int, then func(int) bool) bool {
	if len(sequence) == 0 {
		return then(at)
	}
	return sequence[0].match(text, at, 0, func(next int) bool { return matchAll(sequence[1:], text, next, then) })
}

func (n *node) has(c byte) bool { return n.set[c>>6]&(1<<(c&63)) != 0 }

type compiler struct {
	text  string
	at    int
	fault string
}

func (c *compiler) fail(fault string) {
	if c.fault == "" {
		c.fault = fault
	}
}

// peek is the byte at hand, 0 at the end.
func (c *compiler) peek() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

func (c *compiler) choices(depth int) (all [][]node) {
	if depth > 16 {
		c.fail("groups nested too deeply")
		return nil
	}
	all = [][]node{nil}
	for c.fault == "" && c.at < len(c.text) {
		switch ch := c.peek(); {
		case ch == '|':
			c.at++
			all = append(all, nil)
		case ch == ')' && depth > 0:
			return all
		case ch == '$' && depth == 0 && c.at == len(c.text)-1 && len(all) == 1:
			c.at++
		default:
			n := c.atom(depth)
			c.repeat(&n)
			all[len(all)-1] = append(all[len(all)-1], n)
		}
	}
	return all
}

func (c *compiler) atom(depth int) (n node) {
	n.least, n.most = 1, 1
	ch := c.peek()
	c.at++
	switch {
	case ch == '(':
		if c.peek() == '?' {
			c.at++
			if c.peek() != ':' {
				c.fail("unsupported group")
				return n
			}
			c.at++
		}
		n.choices = c.choices(depth + 1)
		if c.peek() != ')' {
			c.fail("want )")
		}
		c.at++
	case ch == '[':
		c.class(&n)
	case ch == '\\':
		c.escape(&n)
	case ch == '.':
		n.set = [4]uint64{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
		n.set[0] &^= 1<<'\n' | 1<<'\r'
	case ch <= ' ' || ch >= 0x7f || ch == '*' || ch == '+' || ch == '?' || ch == '{' || ch == '^' || ch == '$' || ch == ')':
		c.at--
		c.fail("unexpected " + strconv.Quote(string(rune(ch))))
	default:
		n.add(ch, ch)
	}
	return n
}

func (c *compiler) repeat(n *node) {
	switch c.peek() {
	case '*':
		n.least, n.most = 0, unbounded
	case '+':
		n.least, n.most = 1, unbounded
	case '?':
		n.least, n.most = 0, 1
	case '{':
		c.at++
		n.least = c.number()
		n.most = n.least
		if c.peek() == ',' {
			c.at++
			if n.most = unbounded; c.peek() != '}' {
				if n.most = c.number(); n.most < n.least {
					c.fail("repetition out of order")
				}
			}
		}
		if c.peek() != '}' {
			c.fail("want }")
		}
	default:
		return
	}
	c.at++
	switch c.peek() { // whether greedy or lazy, the whole text matches or not; possessive is different
	case '?':
		c.at++
	case '+', '*', '{':
		c.fail("unsupported repetition")
	}
}

func (c *compiler) number() (n int) {
	start := c.at
	for ch := c.peek(); '0' <= ch && ch <= '9' && n <= maxRepeat; ch = c.peek() {
		n = n*10 + int(ch-'0')
		c.at++
	}
	if c.at == start {
		c.fail("want a number")
	}
	if n > maxRepeat {
		c.fail("repetition over " + strconv.Itoa(maxRepeat))
	}
	return n
}

func (n *node) add(from, to byte) {
	for ch := int(from); ch <= int(to); ch++ {
		n.set[ch>>6] |= 1 << (ch & 63)
	}
}

// class reads what follows a [ up to its ].
func (c *compiler) class(n *node) {
	negated := c.peek() == '^'
	if negated {
		c.at++
	}
	for first := true; first || c.peek() != ']'; first = false {
		ch := c.peek()
		switch {
		case ch <= ' ' || ch >= 0x7f || ch == '[' || ch == ']' || ch == '&' || ch == '^':
			c.fail("unsupported in a class")
			return
		case ch == '\\':
			c.at++
			c.escape(n)
		default:
			c.at++
			to := ch
			if c.peek() == '-' && c.at+1 < len(c.text) && c.text[c.at+1] != ']' {
				to = c.text[c.at+1]
				c.at += 2
			}
			if to < ch || to == '\\' || to == '[' || to >= 0x7f {
				c.fail("bad range")
				return
			}
			n.add(ch, to)
		}
		if c.fault != "" {
			return
		}
	}
	c.at++
	if negated {
		n.negate()
	}
}

func (n *node) negate() {
	for i := range n.set {
		n.set[i] = ^n.set[i]
	}
}

// escape reads what follows a backslash.
func (c *compiler) escape(n *node) {
	ch := c.peek()
	c.at++
	var class node
	switch ch | 0x20 {
	case 'd':
		class.add('0', '9')
	case 'w':
		class.add('0', '9')
		class.add('a', 'z')
		class.add('A', 'Z')
		class.add('_', '_')
	case 's':
		for _, blank := range []byte("\t\n\v\f\r ") {
			class.add(blank, blank)
		}
	default:
		if ch <= ' ' || ch >= 0x7f || '0' <= ch && ch <= '9' || 'a' <= ch|0x20 && ch|0x20 <= 'z' {
			c.fail("unsupported escape")
			return
		}
		class.add(ch, ch)
		ch = 'a' // never negated
	}
	if 'A' <= ch && ch <= 'Z' {
		class.negate()
	}
	for i := range n.set {
		n.set[i] |= class.set[i]
	}
}
