package http1

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1/cases"
)

// readResponse reads one answer to method with its body.
func readResponse(src io.Reader, method string) (seen, error) {
	var (
		p    Response
		r    Reader
		b    Body
		h, t exchange.Header
		lim  = DefaultLimits()
	)
	r.Reset(src)
	for {
		err := r.Response(&p, &h, method, &lim)
		if err == nil {
			break
		}
		if err == ErrIncomplete {
			err = r.Fill()
		}
		if err != nil {
			return seen{}, err
		}
	}
	b.Reset(&r, p.Framing, p.Length, -1, &t, &lim)
	body, err := io.ReadAll(&b)
	if err != nil {
		return seen{}, upstream(err)
	}
	return seen{
		line: strconv.Itoa(p.Status), body: string(body), close: p.Close,
		fields: lines(&h), trailer: lines(&t), rest: r.Buffered(),
	}, nil
}

func TestResponses(t *testing.T) {
	for _, c := range cases.Load("testdata/responses/*.txt") {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "bytewise": iotest.OneByteReader,
		} {
			t.Run(c.Name+"/"+name, func(t *testing.T) {
				got, err := readResponse(wrap(strings.NewReader(string(c.Raw))), c.Method)
				checkRequest(t, c, got, err)
			})
		}
	}
}

func TestShortAnswers(t *testing.T) {
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		_, err := readResponse(strings.NewReader(raw), "GET")
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, raw)
	}
}

func TestSeveralAnswersOnAConnection(t *testing.T) {
	const raw = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: 1\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 2\r\nB: 2\r\n\r\nhiX"
	var (
		p     Response
		r     Reader
		b     Body
		h, t2 exchange.Header
		lim   = DefaultLimits()
	)
	r.Reset(iotest.HalfReader(strings.NewReader(raw)))
	next := func() error {
		for {
			err := r.Response(&p, &h, "GET", &lim)
			if err != ErrIncomplete {
				return err
			}
			if err := r.Fill(); err != nil {
				return err
			}
		}
	}
	require.NoError(t, next())
	require.Equal(t, 100, p.Status)
	require.NoError(t, next())
	b.Reset(&r, p.Framing, p.Length, -1, &t2, &lim)
	require.EqualValues(t, 5, b.Left())
	body, err := io.ReadAll(&b)
	require.NoError(t, err)
	require.Equal(t, "hello [a: 1]", fmt.Sprint(string(body), " ", lines(&h)))
	require.True(t, b.Done())
	r.Done()
	require.NoError(t, next())
	b.Reset(&r, p.Framing, p.Length, -1, &t2, &lim)
	for r.Buffered() < 2 {
		require.NoError(t, r.Fill())
	}
	whole, ok := b.Whole()
	require.True(t, ok)
	require.Equal(t, "hi [b: 2]", fmt.Sprint(string(whole), " ", lines(&h)))
	r.Done()
	err = next()
	require.Error(t, err)
	require.False(t, errors.Is(err, io.EOF), "what follows an answer unasked is no answer: %v", err)
}

func TestBodyLimits(t *testing.T) {
	for raw, max := range map[string]int64{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello":                                          4,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n":      4,
		"HTTP/1.1 200 OK\r\n\r\nhello":                                                               4,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\nhel":               1 << 20,
		"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nhello":                        1 << 20,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n7fffffffffffffff\r\nhel\r\n": 1 << 20,
	} {
		var (
			p     Response
			r     Reader
			b     Body
			h, tr exchange.Header
			lim   = DefaultLimits()
		)
		r.Reset(strings.NewReader(raw))
		require.NoError(t, r.Fill())
		require.NoError(t, r.Response(&p, &h, "GET", &lim))
		b.Reset(&r, p.Framing, p.Length, max, &tr, &lim)
		body, err := io.ReadAll(&b)
		require.ErrorIs(t, err, exchange.ErrBodyTooLarge, raw)
		require.LessOrEqual(t, int64(len(body)), max+1)
		require.False(t, b.Done())
		again, err2 := b.Read(make([]byte, 1))
		require.Zero(t, again)
		require.Equal(t, err, err2, "errors stay")
	}
}

// onceReader gives all it has at once and is not to be asked again.
type onceReader struct {
	text  string
	asked int
}

func (r *onceReader) Read(p []byte) (int, error) {
	r.asked++
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// TestBufferedReadsDoNotWait cuts a chunked body at each byte: while Buffered is more than
// 0, Read gives what is there and does not ask for more, which may be minutes away.
func TestBufferedReadsDoNotWait(t *testing.T) {
	const head, body = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n2;x=\"y\"\r\nde\r\n0\r\na: b\r\n\r\n"
	lim := DefaultLimits()
	for cut := range len(body) + 1 {
		var (
			p          Response
			h, trailer exchange.Header
			r          Reader
			b          Body
			got        []byte
		)
		src := &onceReader{text: head + body[:cut]}
		r.Reset(src)
		require.NoError(t, r.Fill())
		require.NoError(t, r.Response(&p, &h, "GET", &lim))
		b.Reset(&r, p.Framing, p.Length, -1, &trailer, &lim)
		for !b.Done() && b.Buffered() > 0 {
			piece := make([]byte, 2)
			n, err := b.Read(piece)
			got = append(got, piece[:n]...)
			require.True(t, err == nil || err == io.EOF, err)
		}
		require.Equal(t, 1, src.asked, "%q", body[:cut])
		require.Equal(t, cut == len(body), b.Done())
		first, second := strings.Index(body, "abc"), strings.Index(body, "de")
		want := min(max(0, cut-first), 3) + min(max(0, cut-second), 2)
		require.Equal(t, "abcde"[:want], string(got), "%q", body[:cut])
	}
}
