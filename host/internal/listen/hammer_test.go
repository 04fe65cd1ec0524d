package listen

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Pooled buffers and exchanges never mix up requests of different connections.
func TestHammer(t *testing.T) {
	g := start(t, handlerFunc(echo), func(o *Options) { o.Limits.ConnectionsPerAddress = 100 })
	clients := map[string]*http.Client{
		"HTTP/1.1": {Transport: &http.Transport{TLSClientConfig: g.client, MaxIdleConnsPerHost: 8}, Timeout: patience},
		"HTTP/2.0": g.overHTTP2(),
	}
	var running sync.WaitGroup
	for protocol, client := range clients {
		for worker := range 8 {
			running.Go(func() {
				for i := range 50 {
					text := strings.Repeat(fmt.Sprintf("%s-%d-%d ", protocol, worker, i), 1+i*40)
					var body io.Reader = strings.NewReader(text)
					if i%2 == 0 {
						body = io.MultiReader(body) // chunked
					}
					r, err := client.Post(fmt.Sprintf("https://%s/%d/%d", g.addr, worker, i), "text/plain", body)
					if !assert.NoError(t, err) {
						return
					}
					got, err := io.ReadAll(r.Body)
					r.Body.Close()
					line := fmt.Sprintf("POST %s /%d/%d\n", g.addr, worker, i)
					if !assert.NoError(t, err) || !assert.True(t, strings.HasPrefix(string(got), line) && strings.HasSuffix(string(got), "\n"+text)) {
						return
					}
				}
			})
		}
	}
	running.Wait()
	clients["HTTP/1.1"].CloseIdleConnections()
	assert.Empty(t, g.reasons())
}
