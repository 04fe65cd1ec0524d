package listen

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// resting makes connections rest at the next tick of the warden.
func resting(o *Options) {
	o.rest = time.Millisecond
}

// parkedConns is how many connections have no goroutine.
func (g *gate) parkedConns() (n int) {
	g.Server.mu.Lock()
	defer g.Server.mu.Unlock()
	for _, c := range g.conns {
		if c.parked.Load() {
			n++
		}
	}
	return n
}

// each is a client of each protocol that sends one request; it opens its connections anew.
func (g *gate) each() map[string]*http.Client {
	return map[string]*http.Client{
		"HTTP/1.1": {Transport: &http.Transport{TLSClientConfig: g.client, MaxIdleConnsPerHost: 100}, Timeout: patience},
		"HTTP/2.0": g.overHTTP2(),
	}
}

func fetch(t *testing.T, client *http.Client, url string) bool {
	r, err := client.Get(url)
	if !assert.NoError(t, err) {
		return false
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return assert.NoError(t, err) && assert.Equal(t, 200, r.StatusCode)
}

func TestIdleConnectionsPark(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // there each keeps its goroutine, and the other tests hold
	}
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			g := start(t, handlerFunc(echo), resting)
			client := g.each()[protocol]
			defer client.CloseIdleConnections()
			for range 3 {
				require.True(t, fetch(t, client, "https://"+g.addr+"/"))
				require.Eventually(t, func() bool { return g.parkedConns() == 1 }, patience, time.Millisecond)
			}
			require.Equal(t, 1, g.Connections(), "the same connection all the time")
			client.CloseIdleConnections()
			require.Eventually(t, func() bool { return g.Connections() == 0 }, patience, time.Millisecond, "a client's end reaches a parked connection")
		})
	}
}

func TestParkedConnectionsEnd(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for name, end := range map[string]func(g *gate){
			"shutdown": func(g *gate) { require.NoError(g.t, g.Shutdown(t.Context())) },
			"late":     func(*gate) {},
			"close": func(g *gate) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_ = g.Shutdown(ctx)
			},
		} {
			t.Run(protocol+" "+name, func(t *testing.T) {
				g := start(t, handlerFunc(echo), func(o *Options) {
					resting(o)
					if name == "late" {
						o.Timeouts.Idle = 400 * time.Millisecond
					}
				})
				client := g.each()[protocol]
				defer client.CloseIdleConnections()
				require.True(t, fetch(t, client, "https://"+g.addr+"/"))
				if runtime.GOOS == "linux" && name != "late" {
					require.Eventually(t, func() bool { return g.parkedConns() == 1 }, patience, time.Millisecond)
				}
				end(g)
				require.Eventually(t, func() bool { return g.Connections() == 0 }, patience, time.Millisecond)
			})
		}
	}
}

// Requests that come just when their connection is put to rest are answered all the same.
func TestRestHammer(t *testing.T) {
	g := start(t, handlerFunc(echo), resting)
	stop := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() { // ends with stop
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
				g.warden.look()
				g.warden.endLate()
			}
		}
	})
	var running sync.WaitGroup
	for protocol, client := range g.each() {
		for worker := range 16 {
			running.Go(func() {
				for i := range 60 {
					<-time.After(time.Duration(rand.IntN(4000)) * time.Microsecond)
					if !fetch(t, client, fmt.Sprintf("https://%s/%s/%d/%d", g.addr, protocol, worker, i)) {
						return
					}
				}
			})
		}
		defer client.CloseIdleConnections()
	}
	running.Wait()
	close(stop)
	ticking.Wait()
	assert.Empty(t, g.reasons())
}
