package http1

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1/cases"
)

// seen is everything that a reader understood of one message.
type seen struct {
	line, body      string
	close           bool
	fields, trailer []string
	rest            int // bytes behind the message
}

func lines(h *exchange.Header) (out []string) {
	for name, value := range h.All() {
		out = append(out, string(name)+": "+string(value))
	}
	return out
}

// readRequest reads one request with its body from src.
func readRequest(src io.Reader) (seen, error) {
	var (
		q       Request
		r       Reader
		b       Body
		h, t    exchange.Header
		lim     = DefaultLimits()
		request seen
	)
	r.Reset(src)
	for {
		err := r.Request(&q, &h, &lim)
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
	b.Reset(&r, q.Framing, q.Length, 10<<20, &t, &lim)
	body, err := io.ReadAll(&b)
	if err != nil {
		return seen{}, err
	}
	request.line = q.Method + " " + q.Authority + " " + q.Path
	if q.Query != "" || q.EmptyQuery {
		request.line += "?" + q.Query
	}
	request.body, request.close = string(body), q.Close
	request.fields, request.trailer = lines(&h), lines(&t)
	request.rest = r.Buffered()
	return request, nil
}

func checkRequest(t *testing.T, c cases.Case, got seen, err error) {
	t.Helper()
	if c.Status != 0 {
		var refusal *Refusal
		require.ErrorAs(t, err, &refusal, "accepted as %+v", got)
		require.Equal(t, fmt.Sprint(c.Status, " ", c.Section), fmt.Sprint(refusal.Status, " ", refusal.Section), refusal.Reason)
		return
	}
	require.NoError(t, err)
	require.Equal(t, c.Line, got.line)
	require.Equal(t, c.Body, got.body)
	require.Equal(t, c.Close, got.close)
	require.Equal(t, c.Fields, got.fields)
	require.Equal(t, c.Trailer, got.trailer)
}

func TestRequests(t *testing.T) {
	for _, c := range cases.Load("testdata/requests/*.txt") {
		t.Run(c.File+"/"+c.Name, func(t *testing.T) {
			got, err := readRequest(strings.NewReader(string(c.Raw)))
			checkRequest(t, c, got, err)
		})
		t.Run(c.File+"/"+c.Name+"/bytewise", func(t *testing.T) {
			got, err := readRequest(iotest.OneByteReader(strings.NewReader(string(c.Raw))))
			checkRequest(t, c, got, err)
		})
	}
}

func TestIncompleteRequestWaits(t *testing.T) {
	const whole = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nt: v\r\n\r\n"
	for n := range len(whole) {
		_, err := readRequest(strings.NewReader(whole[:n]))
		require.Truef(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), "%q: %v", whole[:n], err)
	}
}
