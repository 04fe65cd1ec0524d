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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
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
	end := time.Now().Add(attackTime)
	a.SetDeadline(end)
	for n := uint32(0); round(n) == nil && time.Now().Before(end); n++ {
	}
}

// pause takes what comes for that long; an error is the end of the connection.
func (a *attacker) pause(d time.Duration) error {
	a.SetReadDeadline(time.Now().Add(d))
	_, err := io.Copy(io.Discard, struct{ io.Reader }{a})
	if isTimeout(err) {
		return nil
	}
	if err == nil {
		err = io.EOF
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
		case "/read":
			io.Copy(io.Discard, r.Body)
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
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "attack\tmemory\tat once upstream\tcanary HTTP/1.1, p50 and max\tcanary HTTP/2, p50 and max")
	for _, kind := range []struct {
		name    string
		attacks []attack
	}{{"HTTP/2", attacksHTTP2}, {"HTTP/1.1", attacksHTTP1}, {"TCP", attacksTCP}} {
		for _, attack := range kind.attacks {
			t.Run(kind.name+" "+attack.name, func(t *testing.T) { g.flood(t, kind.name, attack, out) })
		}
	}
	out.Flush()
	t.Logf("over %d connections:\n%s", attackers, table.String())
	require.Empty(t, g.log.String())
}

func (g *attacked) flood(t *testing.T, kind string, attack attack, out io.Writer) {
	await(t, "the upstream is at rest", func() bool { return g.now.Load() == 0 })
	g.most.Store(0)
	runtime.GC()
	before := memory()
	peak := before
	ended := make(chan struct{})
	var running, watching sync.WaitGroup
	for range attackers {
		running.Go(func() { g.attack(t, kind, attack.run) })
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
	var took [2][]time.Duration
	for i, client := range []*http.Client{g.h1, g.h2} {
		watching.Go(func() { took[i] = sing(t, client, ended) })
	}
	running.Wait()
	close(ended)
	watching.Wait()
	growth := peak - before
	fmt.Fprintf(out, "%s %s\t+%.1f MB\t%d\t%s\t%s\n", kind, attack.name, float64(growth)/1e6, g.most.Load(), spread(took[0]), spread(took[1]))
	assert.Less(t, growth, uint64(mostGrowth))
	assert.LessOrEqual(t, g.most.Load(), int64(mostAtOnce))
}

// spread is the median and the longest of what answers took.
func spread(took []time.Duration) string {
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.1f ms, %.0f ms", ms(took[len(took)/2]), ms(took[len(took)-1]))
}

// sing asks until ended, at least once, and gives what each answer took.
func sing(t *testing.T, client *http.Client, ended chan struct{}) (took []time.Duration) {
	for {
		began := time.Now()
		body, err := ask(client, "https://127.0.0.1/ok")
		took = append(took, time.Since(began))
		if !assert.NoError(t, err, "canary") || !assert.Equal(t, "ok", body, "canary") {
			return took
		}
		select {
		case <-ended:
			return took
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ask(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
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
