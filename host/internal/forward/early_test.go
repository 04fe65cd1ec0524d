package forward

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// stalled is a client's body that gives what it has and then waits for Interrupt.
type stalled struct {
	rest        string
	interrupted chan struct{}
}

func (b *stalled) Read(p []byte) (int, error) {
	if b.rest != "" {
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		return n, nil
	}
	<-b.interrupted
	return 0, exchange.ErrInterrupted
}

func (b *stalled) Interrupt() { close(b.interrupted) }

// What an upstream says, or does not say any more, while the client does not go on with
// its body is told at once.
func TestEarlyAnswerToStalledBody(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		stays  bool
		length int64
		status int
		want   Kind
	}{
		"refused":          {"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno", true, 1 << 20, 401, ""},
		"refused, chunked": {"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno", true, -1, 401, ""},
		"and closed":       {"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno", false, -1, 413, ""},
		"after a hint":     {"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno", true, -1, 401, ""},
		"garbage":          {"SSH-2.0-OpenSSH_9.2\r\n", true, -1, 0, Protocol},
		"half a head":      {"HTTP/1.1 40", false, -1, 0, Reset},
		"closed":           {"", false, -1, 0, Reset},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, func(n int64, r *http.Request, c net.Conn) bool {
				if n > 1 {
					io.WriteString(c, fine)
					return true
				}
				io.ReadFull(r.Body, make([]byte, 3))
				io.WriteString(c, tt.answer)
				if tt.stays {
					io.Copy(io.Discard, c)
				}
				return false
			})
			f := newForwarder(t, Options{})
			u := upstreamOf(t, f, s.url)
			x := newExchange("")
			defer x.Release()
			x.Body, x.BodyLength = &stalled{"abc", make(chan struct{})}, tt.length
			status, _, err := do(f, &Call{Upstream: u, Method: "POST"}, x)
			require.Equal(t, tt.want, kindOf(err), "%v", err)
			require.Equal(t, tt.status, status)
			f.Connections(func(_ string, open, _ int) { require.Zero(t, open) })
			_, body, err := get(f, u)
			require.NoError(t, err)
			require.Equal(t, "ok", body)
			require.EqualValues(t, 2, s.connections.Load())
		})
	}
}

// whole is a body that must not be interrupted: it has ended when the answer comes.
type whole struct {
	io.Reader
	t *testing.T
}

func (b whole) Interrupt() { b.t.Error("a body that has ended was interrupted") }

func TestWholeBodyIsNotInterrupted(t *testing.T) {
	s := say(t, fine)
	f := newForwarder(t, Options{})
	u := upstreamOf(t, f, s.url)
	for range 50 {
		x := newExchange("")
		x.Body, x.BodyLength = whole{io.LimitReader(&endlessBody{}, 100_000), t}, 100_000
		_, body, err := do(f, &Call{Upstream: u, Method: "POST"}, x)
		require.NoError(t, err)
		require.Equal(t, "ok", body)
		x.Release()
	}
	require.EqualValues(t, 1, s.connections.Load())
}
