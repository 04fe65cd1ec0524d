package http2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// testCase is what a client sends and what becomes of it; testdata/cases/README.md tells
// how it is written.
type testCase struct {
	file, name, section string
	steps               []string
	events              []string // "> " lines
	seen                []string // "= " lines
}

func loadCases(t testing.TB) (all []testCase) {
	files, err := filepath.Glob("testdata/cases/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, part := range strings.Split("\n"+string(text), "\n== ")[1:] {
			lines := strings.Split(strings.TrimSpace(part), "\n")
			k := testCase{file: strings.TrimSuffix(filepath.Base(file), ".txt")}
			k.name, k.section, _ = strings.Cut(lines[0], " | ")
			require.Regexp(t, `^RFC [0-9]+ [0-9.]+(, CVE-[0-9-]+)?$`, k.section, "section of case %q", lines[0])
			for _, line := range lines[1:] {
				switch {
				case line == "" || line[0] == '#':
				case strings.HasPrefix(line, "> "):
					k.events = append(k.events, line[2:])
				case strings.HasPrefix(line, "= "):
					k.seen = append(k.seen, expand(t, line[2:]))
				default:
					k.steps = append(k.steps, line)
				}
			}
			require.NotEmpty(t, k.events, "case %q expects nothing", k.name)
			all = append(all, k)
		}
	}
	return all
}

// recorder answers like echo and keeps what it saw.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (r *recorder) ServeExchange(x *exchange.Exchange) {
	text, err := describe(x)
	if err != nil {
		text = "broken: " + strconv.Itoa(statusOf(err))
		problem.Write(x, err)
	} else {
		x.Response.Status = 200
		x.Response.SetBody([]byte(text))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, text)
}

func statusOf(err error) int {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p.Status
	}
	return 0
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

const canarySeen = "GET canary /canary\nx-canary: 1\n\n"

// TestCases sends each case to a connection of its own, with a canary behind it: unless
// the connection ends, that arrives unaltered.
func TestCases(t *testing.T) {
	var seen recorder
	g := start(t, &seen, nil)
	cases := loadCases(t)
	require.GreaterOrEqual(t, len(cases), 150)
	for _, k := range cases {
		t.Run(k.file+"/"+k.name, func(t *testing.T) {
			seen.take()
			k.run(t, g.dial())
			g.settle(t)
			require.ElementsMatch(t, k.seen, seen.take())
		})
	}
}

// run plays k over c, which it closes, and adds the canary to what is to be seen.
func (k *testCase) run(t testing.TB, c *client) {
	p := &player{client: c, bare: k.steps[0] == "bare"}
	p.t = t
	defer p.Close()
	if !p.bare {
		p.send([]byte(preface))
		p.frame(frameSettings, 0, 0, nil)
	}
	for _, step := range k.steps {
		p.play(step)
	}
	p.flushHead()
	slices.Sort(k.events)
	if slices.Contains(k.events, "closed") {
		p.Conn.Write(append(appendFrameHeader(nil, 0, framePing, 0, 0), 0)) // fails, or is not looked at
		p.events = append(p.events, p.rest()...)
		p.events = append(p.events, "closed")
	} else {
		p.canary(k.events)
		k.seen = append(k.seen, canarySeen)
	}
	got := slices.DeleteFunc(p.events, func(e string) bool { return strings.Contains(e, " data ") })
	slices.Sort(got)
	require.Equal(t, k.events, got)
}

// player plays the steps of a case.
type player struct {
	*client
	bare   bool
	events []string
	// The head that is being gathered from its lines.
	head   func(fields []string)
	fields []string
}

func (p *player) play(step string) {
	if name, value, ok := strings.Cut(strings.TrimPrefix(step, "  "), "="); strings.HasPrefix(step, "  ") {
		require.True(p.t, ok, step)
		p.fields = append(p.fields, expand(p.t, name), expand(p.t, value))
		return
	}
	p.flushHead()
	words := strings.Fields(step)
	if n, err := strconv.Atoi(words[0]); err == nil { // "100 ping ..."
		for range n {
			p.play(strings.Join(words[1:], " "))
		}
		return
	}
	quoted := ""
	if i := strings.IndexByte(step, '"'); i >= 0 {
		quoted = expand(p.t, step[i:])
		words = strings.Fields(step[:i])
	}
	p.step(words, quoted)
}

// step plays a step of one line: its words, and the text behind them.
func (p *player) step(words []string, quoted string) {
	arg := func(i int) uint32 {
		n, err := strconv.ParseUint(words[i], 0, 32)
		require.NoError(p.t, err, words)
		return uint32(n)
	}
	flags := uint8(0)
	if slices.Contains(words, "end") {
		flags |= flagEndStream
	}
	if !slices.Contains(words, "open") {
		flags |= flagEndHeaders
	}
	switch words[0] {
	case "bare":
	case "preface":
		p.send([]byte(preface))
	case "raw":
		p.send([]byte(quoted))
	case "frame": // type flags stream "payload"
		p.frame(uint8(arg(1)), uint8(arg(2)), arg(3), []byte(quoted))
	case "head":
		p.head = p.headFrame(arg(1), flags, p.client.fields)
	case "plain":
		p.head = p.headFrame(arg(1), flags, p.encode)
	case "block":
		p.frame(frameHeaders, flags, arg(1), []byte(quoted))
	case "cont":
		p.frame(frameContinuation, flags&^flagEndStream, arg(1), []byte(quoted))
	case "data":
		p.frame(frameData, flags&^flagEndHeaders, arg(1), []byte(quoted))
	case "reset":
		p.frame(frameRSTStream, 0, arg(1), binary.BigEndian.AppendUint32(nil, uint32(codeCancel)))
	case "window":
		p.frame(frameWindowUpdate, 0, arg(1), binary.BigEndian.AppendUint32(nil, arg(2)))
	case "ping":
		p.frame(framePing, 0, 0, []byte(quoted))
	case "settings":
		p.frame(frameSettings, 0, 0, settingsOf(p.t, words[1:]))
	case "wait":
		p.events = append(p.events, p.until(strings.Join(words[1:], " "))...)
	default:
		p.t.Fatalf("unknown step %q", words)
	}
}

func (p *player) headFrame(id uint32, flags uint8, encode func(...string) []byte) func([]string) {
	return func(fields []string) { p.frame(frameHeaders, flags, id, encode(fields...)) }
}

func settingsOf(t testing.TB, words []string) (b []byte) {
	for _, w := range words {
		id, value, _ := strings.Cut(w, "=")
		i, err1 := strconv.Atoi(id)
		v, err2 := strconv.ParseUint(value, 10, 32)
		require.NoError(t, errors.Join(err1, err2))
		b = appendSetting(b, uint16(i), uint32(v))
	}
	return b
}

// expand makes of a Go string literal or plain text what it says; *N(x) is N times x.
func expand(t testing.TB, s string) string {
	if strings.HasPrefix(s, `"`) {
		u, err := strconv.Unquote(s)
		require.NoError(t, err, s)
		s = u
	}
	if before, rest, ok := strings.Cut(s, "*"); ok {
		if count, rest, ok := strings.Cut(rest, "("); ok {
			if what, after, ok := strings.Cut(rest, ")"); ok {
				if n, err := strconv.Atoi(count); err == nil {
					return before + strings.Repeat(what, n) + after
				}
			}
		}
	}
	return s
}

// flushHead sends a head whose lines have all been read.
func (p *player) flushHead() {
	if head := p.head; head != nil {
		p.head = nil
		head(p.fields)
		p.fields = nil
	}
}

// until reads up to an event.
func (p *player) until(want string) (events []string) {
	for {
		h, b, ok := p.next()
		require.True(p.t, ok, "closed, want %q, got %q", want, events)
		if e := p.event(h, b); e != "" {
			events = append(events, e)
			if e == want {
				return events
			}
		}
	}
}

// canary sends a request that must be answered, and reads until it was and everything
// expected has come.
func (p *player) canary(want []string) {
	const id = 1001
	p.request(id, true, ":method", "GET", ":scheme", "https", ":authority", "canary", ":path", "/canary", "x-canary", "1")
	missing := func() (n int) {
		for _, w := range want {
			if !slices.Contains(p.events, w) {
				n++
			}
		}
		return n
	}
	for answered := false; !answered || missing() > 0; {
		h, b, ok := p.next()
		require.True(p.t, ok, "closed, got %q", p.events)
		e := p.event(h, b)
		switch {
		case e == fmt.Sprintf("%d data %d end", id, len(canarySeen)):
			require.Equal(p.t, canarySeen, string(bytes.TrimSpace(b))+"\n\n")
			answered = true
		case e == fmt.Sprint(id, " 200"):
		case e != "":
			p.events = append(p.events, e)
		}
	}
	// What comes late comes before the answer to this.
	p.frame(framePing, 0, 0, []byte("verdict!"))
	for {
		h, b, ok := p.next()
		require.True(p.t, ok)
		if h.kind == framePing && string(b) == "verdict!" {
			return
		}
		if e := p.event(h, b); e != "" {
			p.events = append(p.events, e)
		}
	}
}
