package host_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	attackers  = 10              // connections of an attack
	attackTime = 3 * time.Second // after which an attacker that was not stopped gives up
	mostAtOnce = 300             // requests at the upstream
	mostGrowth = 100 << 20       // bytes
)

// attacker is one connection of an attack, over TLS but for those that never get so far.
type attacker struct {
	net.Conn
	frames *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
}

// until writes what round gives until the gateway ends the connection or the time is over.
func (a *attacker) until(round func(n uint32) error) {
	a.SetDeadline(time.Now().Add(attackTime))
	for n := uint32(0); round(n) == nil; n++ {
	}
}

// pause is one that a deadline of the connection ends.
func (a *attacker) pause(d time.Duration) error {
	a.SetReadDeadline(time.Now().Add(d))
	_, err := a.Read(make([]byte, 1))
	if t, ok := err.(net.Error); ok && t.Timeout() {
		return nil
	}
	if err == nil {
		return nil
	}
	return err
}

// fields is a header block with what every request has and more.
func (a *attacker) fields(path string, more ...string) []byte {
	a.block.Reset()
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "127.0.0.1"}, {":path", path}} {
		a.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	for i := 0; i < len(more); i += 2 {
		a.enc.WriteField(hpack.HeaderField{Name: more[i], Value: more[i+1]})
	}
	return a.block.Bytes()
}

func (a *attacker) request(id uint32, path string, end bool, more ...string) error {
	return a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: a.fields(path, more...), EndStream: end, EndHeaders: true})
}

// hello opens the connection with the client's settings.
func (a *attacker) hello(settings ...http2.Setting) {
	io.WriteString(a, http2.ClientPreface)
	a.frames.WriteSettings(settings...)
}

// attacksHTTP2 are the attacks by frames.
var attacksHTTP2 = map[string]func(a *attacker){
	"rapid reset": func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error {
			a.request(2*n+1, "/slow", true)
			return a.frames.WriteRSTStream(2*n+1, http2.ErrCodeCancel)
		})
	},
	"made to reset": func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error {
			a.request(2*n+1, "/slow", true)
			_, err := a.Write([]byte{0, 0, 4, 8, 0, 0, 0, 0, byte(2*n + 1), 0, 0, 0, 0})
			return err
		})
	},
	"requests without reading": func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error { return a.request(2*n+1, "/slow", true) })
	},
	"CONTINUATION": func(a *attacker) {
		a.hello()
		a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.fields("/")})
		junk := bytes.Repeat([]byte{0}, 16000)
		a.until(func(uint32) error { return a.frames.WriteContinuation(1, false, junk) })
	},
	"HPACK bomb, windows shut": func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		a.request(1, "/ok", true, "x-large", strings.Repeat("y", 3900))
		bomb := append(bytes.Clone(a.fields("/ok")), bytes.Repeat([]byte{0xbe}, 16000)...)
		a.until(func(n uint32) error {
			return a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 3, BlockFragment: bomb, EndStream: true, EndHeaders: true})
		})
	},
	"refused heads, windows shut": func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		var many []string
		for i := range 250 {
			many = append(many, fmt.Sprint("x-", i), "y")
		}
		a.until(func(n uint32) error { return a.request(2*n+1, "/ok", true, many...) })
	},
	"answers of 5 MB, windows shut": func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for n := range uint32(100) {
			a.request(2*n+1, "/large", true)
		}
		a.until(func(uint32) error { return a.pause(50 * time.Millisecond) })
	},
	"answers of 5 MB, nothing read": func(a *attacker) {
		a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		a.frames.WriteWindowUpdate(0, 1<<31-1-65535)
		for n := range uint32(100) {
			a.request(2*n+1, "/large", true)
		}
		a.until(func(uint32) error {
			<-time.After(50 * time.Millisecond)
			return a.frames.WritePing(false, [8]byte{})
		})
	},
	"bodies of a byte at a time": func(a *attacker) {
		a.hello()
		a.request(1, "/ok", false)
		a.until(func(uint32) error {
			if err := a.frames.WriteData(1, false, []byte{'x'}); err != nil {
				return err
			}
			return a.pause(20 * time.Millisecond)
		})
	},
	"half a head": func(a *attacker) {
		a.hello()
		a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.fields("/ok")})
		a.until(func(uint32) error { return a.pause(50 * time.Millisecond) })
	},
	"SETTINGS": func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error {
			return a.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: n % 65536})
		})
	},
	"PING": func(a *attacker) {
		a.hello()
		a.until(func(uint32) error { return a.frames.WritePing(false, [8]byte{}) })
	},
	"PRIORITY": func(a *attacker) {
		a.hello()
		a.until(func(uint32) error { return a.frames.WritePriority(9, http2.PriorityParam{StreamDep: 1}) })
	},
	"WINDOW_UPDATE": func(a *attacker) {
		a.hello()
		a.until(func(uint32) error { return a.frames.WriteWindowUpdate(0, 1) })
	},
	"empty DATA": func(a *attacker) {
		a.hello()
		a.request(1, "/slow", false)
		a.until(func(uint32) error { return a.frames.WriteData(1, false, nil) })
	},
	"empty HEADERS": func(a *attacker) {
		a.hello()
		a.until(func(n uint32) error {
			return a.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*n + 1, EndHeaders: true, EndStream: true})
		})
	},
}

// attacksHTTP1 are those by bytes.
var attacksHTTP1 = map[string]func(a *attacker){
	"slow heads": func(a *attacker) {
		io.WriteString(a, "GET /ok HTTP/1.1\r\nHost: 127.0.0.1\r\n")
		a.until(func(uint32) error {
			if _, err := a.Write([]byte{'x'}); err != nil {
				return err
			}
			return a.pause(20 * time.Millisecond)
		})
	},
	"slow bodies": func(a *attacker) {
		io.WriteString(a, "POST /ok HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n")
		a.until(func(uint32) error {
			if _, err := a.Write([]byte{'x'}); err != nil {
				return err
			}
			return a.pause(20 * time.Millisecond)
		})
	},
	"slow readers": func(a *attacker) {
		io.WriteString(a, "GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		a.until(func(uint32) error { return a.pause(20 * time.Millisecond) })
	},
	"pipelines": func(a *attacker) {
		many := []byte(strings.Repeat("GET /ok HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400))
		a.until(func(uint32) error { _, err := a.Write(many); return err })
	},
}

// attacksTCP are those that never finish a TLS handshake.
var attacksTCP = map[string]func(a *attacker){
	"half-open hellos": func(a *attacker) {
		io.WriteString(a, "\x16\x03\x01\x02\x00\x01\x00")
		a.until(func(uint32) error { return a.pause(50 * time.Millisecond) })
	},
	"hellos of a byte at a time": func(a *attacker) {
		io.WriteString(a, "\x16\x03\x01\x02\x00")
		a.until(func(uint32) error {
			if _, err := a.Write([]byte{1}); err != nil {
				return err
			}
			return a.pause(50 * time.Millisecond)
		})
	},
}

// attacked is a gateway under attack, with an upstream that counts.
type attacked struct {
	*gateway
	now, most atomic.Int64 // requests at the upstream
}

func startAttacked(t *testing.T) *attacked {
	g := &attacked{}
	large := bytes.Repeat([]byte("x"), 5<<20)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // one that keeps no record
		now := g.now.Add(1)
		defer g.now.Add(-1)
		for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
		}
		switch r.URL.Path {
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(attackTime):
			}
		case "/large":
			w.Header().Set("Content-Length", fmt.Sprint(len(large)))
			w.Write(large)
		default:
			io.WriteString(w, "ok")
		}
	}))
	t.Cleanup(up.Close)
	g.gateway = start(t, files{"wasmgate.yaml": `log: {level: error, access: {enabled: false}}
timeouts: {hello: 1s, head: 1s, body: 1s, write: 1s, idle: 5s, shutdown: 5s}`,
		"apis/c.yaml": document("x-wasmgate-api: {id: c, domains: [127.0.0.1]}",
			`/{proxy+}: {x-amazon-apigateway-any-method: {`+proxy(up.URL+"/{proxy}")+`}}`)})
	return g
}

// memory is what the Go runtime holds for objects and stacks, attackers included.
func memory() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() + s[1].Value.Uint64() + s[2].Value.Uint64()
}

// TestFloods attacks the whole gateway over ten connections, each attack by itself, and
// prints what it cost. A canary on connections of its own is answered all the time.
func TestFloods(t *testing.T) {
	g := startAttacked(t)
	for kind, attacks := range map[string]map[string]func(*attacker){"HTTP/2": attacksHTTP2, "HTTP/1.1": attacksHTTP1, "TCP": attacksTCP} {
		for name, attack := range attacks {
			t.Run(kind+" "+name, func(t *testing.T) { g.flood(t, kind, attack) })
		}
	}
	require.Empty(t, g.log.String())
}

func (g *attacked) flood(t *testing.T, kind string, attack func(*attacker)) {
	await(t, "the upstream is at rest", func() bool { return g.now.Load() == 0 })
	g.most.Store(0)
	runtime.GC()
	before := memory()
	peak := before
	ended := make(chan struct{})
	var running, watching sync.WaitGroup
	for range attackers {
		running.Go(func() { g.attack(t, kind, attack) })
	}
	watching.Go(func() { // ends with ended
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				peak = max(peak, memory())
			}
		}
	})
	var slowest [2]time.Duration
	for i, client := range []*http.Client{g.h1, g.h2} {
		watching.Go(func() { slowest[i] = sing(t, client, ended) })
	}
	running.Wait()
	close(ended)
	watching.Wait()
	growth := peak - before
	t.Logf("memory +%.1f MB, %d requests at once at the upstream, canary at most %v over HTTP/1.1 and %v over HTTP/2",
		float64(growth)/1e6, g.most.Load(), slowest[0].Round(time.Millisecond), slowest[1].Round(time.Millisecond))
	assert.Less(t, growth, uint64(mostGrowth))
	assert.LessOrEqual(t, g.most.Load(), int64(mostAtOnce))
}

// sing asks until ended, and gives the longest that an answer took.
func sing(t *testing.T, client *http.Client, ended chan struct{}) (slowest time.Duration) {
	for {
		select {
		case <-ended:
			return slowest
		case <-time.After(20 * time.Millisecond):
		}
		began := time.Now()
		resp, err := client.Get("https://127.0.0.1/ok")
		if !assert.NoError(t, err) {
			return 0
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !assert.NoError(t, err) || !assert.Equal(t, "ok", string(body)) {
			return 0
		}
		slowest = max(slowest, time.Since(began))
	}
}

// attack runs one attacker to its end.
func (g *attacked) attack(t *testing.T, kind string, attack func(*attacker)) {
	ctx, cancel := context.WithTimeout(t.Context(), attackTime)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", g.https)
	if !assert.NoError(t, err) {
		return
	}
	defer raw.Close()
	a := &attacker{Conn: raw}
	if kind != "TCP" {
		conn := tls.Client(raw, &tls.Config{RootCAs: g.roots, ServerName: "127.0.0.1", NextProtos: []string{map[string]string{"HTTP/2": "h2", "HTTP/1.1": "http/1.1"}[kind]}})
		if !assert.NoError(t, conn.HandshakeContext(ctx)) {
			return
		}
		a.Conn = conn
	}
	a.frames = http2.NewFramer(a.Conn, nil)
	a.frames.AllowIllegalWrites = true
	a.enc = hpack.NewEncoder(&a.block)
	attack(a)
}
