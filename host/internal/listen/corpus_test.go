package listen

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/http1/cases"
)

// recorder keeps what reached the handler.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (r *recorder) ServeExchange(x *exchange.Exchange) {
	echo(x)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, string(x.Response.Body))
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

const canary = "GET /canary HTTP/1.1\r\nHost: canary\r\nX-Canary: 1\r\nConnection: close\r\n\r\n"

const canarySeen = "GET canary /canary\nx-canary: 1\n\n"

// want is what echo says of an accepted case.
func want(c cases.Case) string {
	line := c.Line
	fields := ""
	for _, f := range c.Fields {
		fields += f + "\n"
	}
	out := line + "\n" + fields + "\n" + c.Body
	for _, f := range c.Trailer {
		out += "\n" + f
	}
	return out
}

// TestCorpus sends every raw request with a canary behind it: a refused one is answered
// and ends the connection, so the canary never arrives; behind an accepted one it
// arrives unaltered.
func TestCorpus(t *testing.T) {
	var seen recorder
	g := start(t, &seen, nil)
	for _, k := range cases.Load("../http1/testdata/requests/*.txt") {
		t.Run(k.File+"/"+k.Name, func(t *testing.T) {
			seen.take()
			c := g.dial()
			defer c.Close()
			_, err := io.WriteString(c, string(k.Raw)+canary)
			require.NoError(t, err)
			method, _, _ := strings.Cut(k.Line, " ")
			r, body := c.receive(method)
			inBody := strings.HasPrefix(k.File, "chunked")
			if k.Status != 0 {
				require.Equal(t, k.Status, r.StatusCode)
				require.True(t, r.Close)
				if !inBody {
					require.Contains(t, r.Header, "X-Amzn-Errortype")
					require.Contains(t, body, `{"message":`)
					require.Empty(t, seen.take())
				}
				c.ended()
				require.NotContains(t, fmt.Sprint(seen.take()), "canary")
				require.NotEmpty(t, g.reasons())
				return
			}
			require.Equal(t, http.StatusOK, r.StatusCode)
			got := seen.take()
			require.NotEmpty(t, got)
			require.Equal(t, want(k), got[0])
			if method != "HEAD" {
				require.Equal(t, got[0], body)
			}
			require.Equal(t, k.Close, r.Close)
			if !k.Close {
				_, body = c.receive("GET")
				require.Equal(t, canarySeen, body)
			}
			c.ended()
		})
	}
}
