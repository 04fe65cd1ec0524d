package http1

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

const browserRequest = "GET /v1/pets/42?limit=10 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
	"Accept: application/json\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl\r\nConnection: keep-alive\r\n\r\n"

// repeating gives the same message at each Read.
type repeating struct{ raw string }

func (r *repeating) Read(p []byte) (int, error) { return copy(p, r.raw), nil }

// roundTrip reads requests from a source and writes them anew.
func roundTrip(raw string) func() {
	var (
		q    Request
		r    Reader
		b    Body
		h, t exchange.Header
		lim  = DefaultLimits()
		out  = make([]byte, 0, 4096)
		in   = make([]byte, 4096)
	)
	r.Reset(&repeating{raw})
	return func() {
		for {
			err := r.Request(&q, &h, &lim)
			if err == nil {
				break
			}
			if err != ErrIncomplete || r.Fill() != nil {
				panic(err)
			}
		}
		b.Reset(&r, q.Framing, q.Length, -1, &t, &lim)
		for {
			if _, err := b.Read(in); err == io.EOF {
				break
			} else if err != nil {
				panic(err)
			}
		}
		head := RequestHead{Method: q.Method, Path: q.Path, Query: q.Query, Authority: q.Authority, Header: &h, Framing: q.Framing, Length: q.Length}
		var err error
		if out, err = head.Append(out[:0]); err != nil {
			panic(err)
		}
		r.Done()
	}
}

func TestNothingIsAllocated(t *testing.T) {
	for _, raw := range []string{
		browserRequest,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: x-a\r\nX-A: 1\r\nX_Forwarded_For: 1\r\n\r\nhello",
		"POST http://[::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
	} {
		step := roundTrip(raw)
		if allocs := testing.AllocsPerRun(200, step); !raceEnabled {
			require.Zero(t, allocs, raw)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	var (
		q   Request
		h   exchange.Header
		lim = DefaultLimits()
		raw = []byte(browserRequest)
	)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		q.Reset(&h)
		if _, err := q.Parse(raw, &lim); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadAndWrite(b *testing.B) {
	step := roundTrip(browserRequest)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}
