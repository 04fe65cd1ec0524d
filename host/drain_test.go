package host_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// next is the next frame of the kind that is wanted; false at the connection's end.
func next[T http2.Frame](f *framed, want func(T) bool) (frame T, ok bool) {
	f.t.Helper()
	for {
		any, err := f.ReadFrame()
		if err != nil {
			require.ErrorIs(f.t, err, io.EOF)
			return frame, false
		}
		if frame, ok = any.(T); ok && want(frame) {
			return frame, true
		}
	}
}

// TestDrainHTTP2 ends the door of an HTTP/2 client: it is told to send no more, then, once
// it has said that it knows, which of its requests was the last that is answered (RFC 9113
// 6.8), and all up to that are answered.
func TestDrainHTTP2(t *testing.T) {
	const own = "timeouts: {shutdown: 20s, idle: 20s}\n"
	for name, end := range map[string]func(g *gateway){
		"reload": func(g *gateway) { g.update(files{"wasmgate.yaml": process(own + "limits: {streams: 50}\n")}) },
		"stop":   func(g *gateway) { go g.Close() }, // waited for by the gateway's stop
	} {
		t.Run(name, func(t *testing.T) {
			release, entered := make(chan struct{}), make(chan struct{}, 10)
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				entered <- struct{}{}
				select {
				case <-release:
					io.WriteString(w, "whole")
				case <-r.Context().Done():
				}
			}))
			t.Cleanup(up.Close)
			g := start(t, files{"wasmgate.yaml": own, "apis/a.yaml": passing(up.URL)})
			f := g.dialFramed(t)
			f.request(1, true, "GET", "/a")
			<-entered
			end(g)
			goAway := func() uint32 {
				away, ok := next(f, func(*http2.GoAwayFrame) bool { return true })
				require.True(t, ok)
				require.Equal(t, http2.ErrCodeNo, away.ErrCode)
				return away.LastStreamID
			}
			require.EqualValues(t, 1<<31-1, goAway())
			f.request(3, true, "GET", "/b") // was on its way
			ping, ok := next(f, func(p *http2.PingFrame) bool { return !p.IsAck() })
			require.True(t, ok)
			require.NoError(t, f.WritePing(true, ping.Data))
			last := goAway()
			// The gateway waits a second for a client to say that it knows; this one may have taken longer.
			require.Contains(t, []uint32{1, 3}, last)
			f.request(5, true, "GET", "/c") // is late
			close(release)
			bodies, want := map[uint32]string{}, map[uint32]string{1: "whole"}
			if last == 3 {
				want[3] = "whole"
			}
			for {
				data, ok := next(f, func(*http2.DataFrame) bool { return true })
				if !ok {
					break
				}
				bodies[data.StreamID] += string(data.Data())
			}
			require.Equal(t, want, bodies)
		})
	}
}
