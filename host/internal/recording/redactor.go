package recording

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
)

// gram is the length of the pieces of credentials that are looked for.
const gram = 8

// minAlone is the shortest credential that is replaced where it recurs: there, only where it
// stands alone; shorter ones stand in any text.
const minAlone = 4

// noSecrets are values of cookies and parameters that stand in every text.
var noSecrets = []string{"true", "false", "null", "none", "undefined"}

// redactor replaces the secrets of one call. It learns first, and then replaces. The zero
// value is not ready: see [newRedactor]. Not safe for concurrent use.
type redactor struct {
	rules *Rules
	known map[string]pair // credentials by their text
	pairs []pair          // with their variants
	grams map[[gram]byte]place
	short []pair
	whole []pair // references and claims of tokens, replaced as a whole only
	where []string
}

// place is where in which pair a piece stands.
type place struct{ pair, offset int }

func newRedactor(rules *Rules) *redactor {
	r := &redactor{rules: rules, known: map[string]pair{}, grams: map[[gram]byte]place{}}
	for _, s := range rules.Secrets {
		r.learn([]byte(s))
	}
	for i, s := range rules.References {
		r.reference([]byte(s), len(rules.Secrets)+i)
	}
	return r
}

// learn takes a credential in and gives its pair.
func (r *redactor) learn(secret []byte) pair {
	if p, ok := r.known[string(secret)]; ok {
		return p
	}
	f := &filler{number: len(r.known), reveal: r.rules.claim}
	p := pair{bytes.Clone(secret), f.placeholder(secret)}
	r.whole = append(r.whole, f.claims...)
	r.known[string(secret)] = p
	switch {
	case len(secret) < minAlone || slices.Contains(noSecrets, strings.ToLower(string(secret))):
		return p
	case len(secret) < gram:
		r.short = append(r.short, p)
	}
	for _, v := range p.variants() {
		if len(v.secret) < gram {
			continue
		}
		r.pairs = append(r.pairs, v)
		for i := range len(v.secret) - gram + 1 {
			key := [gram]byte(v.secret[i:])
			if _, taken := r.grams[key]; !taken {
				r.grams[key] = place{len(r.pairs) - 1, i}
			}
		}
	}
	return p
}

// reference takes in the value of a reference, which need not be a secret: an issuer's URL
// comes from the environment often enough. So its pieces are not looked for, and a URL stays
// one.
func (r *redactor) reference(value []byte, number int) {
	f := &filler{number: number, reveal: r.rules.claim}
	p := pair{value, f.placeholder(value)}
	if u, err := url.Parse(string(value)); err == nil && u.Host != "" {
		copy(p.placeholder, u.Scheme)
	}
	r.whole = append(r.whole, p)
}

// tokens learns what has the form of a token.
func (r *redactor) tokens(text []byte) {
	for _, t := range tokenForm.FindAll(text, -1) {
		r.learn(t)
	}
}

// credentials learns the credential in a header's value: of Authorization all but the
// scheme, and the password of Basic by itself.
func (r *redactor) credentials(name string, value []byte) {
	switch {
	case name == "cookie":
		for _, at := range cookiePlaces(value) {
			r.learn(value[at[0]:at[1]])
		}
	case name == "set-cookie":
		if at := cookiePlaces(value); len(at) > 0 {
			r.learn(value[at[0][0]:at[0][1]])
		}
	default:
		scheme, rest, found := bytes.Cut(value, []byte(" "))
		if !found || !strings.HasSuffix(name, "authorization") {
			r.learn(value)
			return
		}
		r.learn(rest)
		if strings.EqualFold(string(scheme), "basic") {
			if plain, err := base64.StdEncoding.DecodeString(string(rest)); err == nil {
				_, password, _ := bytes.Cut(plain, []byte(":"))
				r.learn(plain)
				r.learn(password)
			}
		}
	}
}

// header is a header's value without its credential.
func (r *redactor) header(place, name string, value []byte) []byte {
	if !r.rules.header(place, name) {
		return r.text(place+"."+name, value)
	}
	out := r.text("", value)
	at := [][2]int{{0, len(value)}}
	switch {
	case name == "cookie":
		at = cookiePlaces(value)
	case name == "set-cookie":
		if at = cookiePlaces(value); len(at) > 1 {
			at = at[:1]
		}
	case strings.HasSuffix(name, "authorization"):
		if i := bytes.IndexByte(value, ' '); i >= 0 {
			at[0][0] = i + 1
		}
	}
	for _, a := range at {
		copy(out[a[0]:], r.learn(value[a[0]:a[1]]).placeholder)
	}
	r.tell(place+"."+name, value, out)
	return out
}

// cookiePlaces is where the values of cookies stand.
func cookiePlaces(value []byte) (places [][2]int) {
	from := 0
	for part := range bytes.SplitSeq(value, []byte(";")) {
		end := from + len(part)
		start := from
		if i := bytes.IndexByte(part, '='); i >= 0 {
			start += i + 1
		}
		for start < end && value[start] == ' ' {
			start++
		}
		if start < end {
			places = append(places, [2]int{start, end})
		}
		from = end + 1
	}
	return places
}

// tell keeps where something was replaced.
func (r *redactor) tell(where string, before, after []byte) {
	if where == "" || bytes.Equal(before, after) {
		return
	}
	if !slices.Contains(r.where, where) {
		r.where = append(r.where, where)
	}
}

// text is b without anything that was learnt, of the same length. A text that is nothing but
// a part of a credential of four bytes and more is replaced too: that is what is left of one
// that was split.
func (r *redactor) text(where string, b []byte) []byte {
	out := bytes.Clone(b)
	for _, p := range r.whole {
		replaceWhole(out, b, p)
	}
	v := newView(b)
	for {
		r.replaceGrams(out, v)
		for _, p := range r.short {
			replaceAlone(out, v, p)
		}
		next, decoded := v.decode()
		if !decoded {
			break
		}
		v = next
	}
	r.tell(where, b, out)
	return out
}

// part is text for a value that somebody may have cut out of a credential.
func (r *redactor) part(where string, b []byte) []byte {
	out := r.text("", b)
	if len(b) >= minAlone && len(b) < gram {
		for _, p := range r.pairs {
			if i := bytes.Index(p.secret, b); i >= 0 {
				copy(out, p.placeholder[i:i+len(b)])
				break
			}
		}
	}
	r.tell(where, b, out)
	return out
}

// all is a placeholder for whatever b is.
func (r *redactor) all(where string, b []byte) []byte {
	out := r.learn(b).placeholder
	r.tell(where, b, out)
	return bytes.Clone(out)
}

// replaceGrams replaces every piece of a credential, each as long as it goes on as in the
// credential, so that what recurs whole gets the whole placeholder.
func (r *redactor) replaceGrams(out []byte, v *view) {
	done := 0
	for i := 0; i+gram <= len(v.text); i++ {
		at, ok := r.grams[[gram]byte(v.text[i:])]
		if !ok {
			continue
		}
		secret, placeholder := r.pairs[at.pair].secret[at.offset:], r.pairs[at.pair].placeholder[at.offset:]
		n := gram
		for n < len(secret) && i+n < len(v.text) && v.text[i+n] == secret[n] {
			n++
		}
		for j := max(done-i, 0); j < n; j++ {
			v.put(out, i+j, placeholder[j])
		}
		done = i + n
		i = done - gram // the next may begin within this one
	}
}

// replaceWhole writes to out what stands for p in b, as it is and as it is encoded; a short
// one only when it is all there is.
func replaceWhole(out, b []byte, p pair) {
	if len(p.secret) < gram {
		if len(p.secret) > 0 && bytes.Equal(b, p.secret) {
			copy(out, p.placeholder)
		}
		return
	}
	forms := p.variants()
	for _, escape := range []func(string) string{url.QueryEscape, url.PathEscape} {
		if secret := escape(string(p.secret)); len(secret) != len(p.secret) {
			forms = append(forms, pair{[]byte(secret), fill([]byte(secret), 0)})
		}
	}
	for _, v := range forms {
		for from := 0; ; {
			i := bytes.Index(b[from:], v.secret)
			if i < 0 {
				break
			}
			copy(out[from+i:], v.placeholder)
			from += i + len(v.secret)
		}
	}
}

// replaceAlone replaces a short credential between what is no letter or digit.
func replaceAlone(out []byte, v *view, p pair) {
	word := func(i int) bool {
		if i < 0 || i >= len(v.text) {
			return false
		}
		c := v.text[i]
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for from := 0; ; {
		i := bytes.Index(v.text[from:], p.secret)
		if i < 0 {
			return
		}
		i += from
		from = i + 1
		if word(i-1) || word(i+len(p.secret)) {
			continue
		}
		for j, c := range p.placeholder {
			v.put(out, i+j, c)
		}
	}
}

// view is a text as a reader sees it that decodes its percent-encoding, once or again, and
// where each byte of it stands.
type view struct {
	text  []byte
	start []int // of each byte in what was encoded; one more for the end
}

func newView(b []byte) *view {
	v := &view{text: bytes.Clone(b), start: make([]int, len(b)+1)}
	for i := range v.start {
		v.start[i] = i
	}
	return v
}

// decode is v with its percent-encoding decoded; false when it has none.
func (v *view) decode() (*view, bool) {
	if bytes.IndexByte(v.text, '%') < 0 {
		return nil, false
	}
	out := &view{}
	decoded := false
	for i := 0; i < len(v.text); i++ {
		out.start = append(out.start, v.start[i])
		if v.text[i] == '%' && i+2 < len(v.text) {
			if b, err := hex.DecodeString(string(v.text[i+1 : i+3])); err == nil {
				out.text = append(out.text, b[0])
				decoded = true
				i += 2
				continue
			}
		}
		out.text = append(out.text, v.text[i])
	}
	out.start = append(out.start, v.start[len(v.text)])
	return out, decoded
}

// put writes c where the i-th byte of the view stands, encoded as that one was.
func (v *view) put(out []byte, i int, c byte) {
	at := out[v.start[i]:v.start[i+1]]
	if len(at) == 1 {
		at[0] = c
		return
	}
	// %XX, %25XX and so on: the two digits are the last.
	last := len(at) - 2
	if len(bytes.Trim(at[:last], "%25")) > 0 { // digits that are encoded themselves
		copy(at, bytes.Repeat([]byte("x"), last))
	}
	hex.Encode(at[last:], []byte{c})
}
