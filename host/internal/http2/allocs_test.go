package http2

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// lean is a handler as lean as can be, which still reads the body.
var lean = handlerFunc(func(x *exchange.Exchange) {
	if x.Body != nil {
		if _, err := x.Full(1 << 20); err != nil {
			panic(err)
		}
	}
	x.Response.Status = 200
	x.Response.Header.AppendAlias(contentType, applicationJSON)
	x.Response.SetBody(leanBody)
})

var (
	contentType     = []byte("content-type")
	applicationJSON = []byte("application/json")
	leanBody        = make([]byte, 256)
)

// closedLoop sends m requests at once and reads their answers, again and again.
type closedLoop struct {
	c      *client
	next   uint32
	blocks [][]byte
	body   []byte
	out    []byte
	in     []byte
}

// newClosedLoop sends blocks that refer to the server's table.
func newClosedLoop(g *gate, body []byte, m int) *closedLoop {
	l := &closedLoop{c: g.greet(settingInitialWindow, maxWindow), next: 1, body: body, in: make([]byte, 64<<10)}
	l.c.open(0, maxWindow-defaultWindow)
	fields := []string{":method", "POST", ":scheme", "https", ":authority", "api.example.com", ":path", "/v1/pets/42?limit=10",
		"user-agent", "Mozilla/5.0 (X11; Linux x86_64)", "accept", "application/json", "accept-encoding", "gzip, deflate, br",
		"authorization", "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"}
	id := l.take()
	l.c.request(id, true, fields...)
	l.c.answer(id)
	block := l.c.fields(fields...)
	for range m {
		l.blocks = append(l.blocks, block)
	}
	return l
}

func (l *closedLoop) take() uint32 {
	l.next += 2
	return l.next - 2
}

func (l *closedLoop) run(t testing.TB) {
	l.out = l.out[:0]
	for _, block := range l.blocks {
		id := l.take()
		flags := uint8(flagEndHeaders)
		if len(l.body) == 0 {
			flags |= flagEndStream
		}
		l.out = append(appendFrameHeader(l.out, len(block), frameHeaders, flags, id), block...)
		if len(l.body) > 0 {
			l.out = append(appendFrameHeader(l.out, len(l.body), frameData, flagEndStream, id), l.body...)
		}
	}
	if _, err := l.c.Write(l.out); err != nil {
		t.Fatal(err)
	}
	for left, have := len(l.blocks), 0; left > 0; {
		n, err := l.c.Read(l.in[have:])
		if err != nil {
			t.Fatal(err)
		}
		have += n
		at := 0
		for have-at >= headerSize {
			h := parseFrameHeader(l.in[at:])
			if have-at < headerSize+h.length {
				break
			}
			if h.kind == frameData && h.has(flagEndStream) {
				left--
			} else if h.kind != frameHeaders && h.kind != frameWindowUpdate {
				t.Fatalf("%+v", h)
			}
			at += headerSize + h.length
		}
		have = copy(l.in, l.in[at:have])
	}
}

func TestAllocationsPerRequest(t *testing.T) {
	for name, body := range map[string][]byte{"GET": nil, "POST": make([]byte, 200)} {
		t.Run(name, func(t *testing.T) {
			g := start(t, lean, nil)
			l := newClosedLoop(g, body, 1)
			for range 100 {
				l.run(t)
			}
			allocs := testing.AllocsPerRun(1000, func() { l.run(t) })
			t.Logf("%.2f allocations", allocs)
			if !raceEnabled { // the race detector makes sync.Pool forget at random
				require.LessOrEqual(t, allocs, 2.0)
			}
		})
	}
}

func BenchmarkRequests(b *testing.B) {
	for name, m := range map[string]int{"1": 1, "4": 4, "32": 32} {
		b.Run(name, func(b *testing.B) {
			g := start(b, lean, nil)
			l := newClosedLoop(g, nil, m)
			b.ReportAllocs()
			for i := 0; i < b.N; i += m {
				l.run(b)
			}
		})
	}
}
