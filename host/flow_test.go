package host_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const mebibyte = 1 << 20

// pattern is a body whose byte at n tells n, of that many bytes; read counts those that
// were taken.
type pattern struct {
	at, size int64
	read     atomic.Int64
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.size {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.size-p.at)]
	for i := range b {
		b[i] = byte((p.at + int64(i)) >> 3 * 131)
	}
	p.at += int64(len(b))
	p.read.Store(p.at)
	return len(b), nil
}

// check reads size bytes from r and wants them to be the pattern's from the byte at on.
func check(r io.Reader, at, size int64) error {
	want := &pattern{at: at, size: at + size}
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for left := size; left > 0; {
		n, err := io.ReadFull(r, a[:min(left, int64(len(a)))])
		if err != nil {
			return fmt.Errorf("%d bytes of %d: %w", size-left+int64(n), size, err)
		}
		io.ReadFull(want, b[:n])
		if string(a[:n]) != string(b[:n]) {
			return fmt.Errorf("bytes %d to %d are not as sent", at+size-left, at+size-left+int64(n))
		}
		left -= int64(n)
	}
	return nil
}

// settled waits until counter does not move any more, and gives it. Who is fooled by a
// pause gets less than is true, which no test below minds.
func settled(counter *atomic.Int64) int64 {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last, same := counter.Load(), 0
	for same < 15 {
		<-tick.C
		if n := counter.Load(); n != last {
			last, same = n, 0
		} else {
			same++
		}
	}
	return last
}

// live is the heap in use after a collection; allocated is all that was ever allocated.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func allocated() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// The most that sockets of the machine and the windows of HTTP/2 may hold of a body that
// nobody reads: the gateway's own part is measured as memory.
const heldByKernel = 48 * mebibyte

// A client that does not read makes the gateway stop reading the upstream, and one that
// reads on gets everything.
func TestSlowReaderStopsTheUpstream(t *testing.T) {
	const size = 100 * mebibyte
	var body atomic.Pointer[pattern]
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		io.Copy(w, body.Load())
	}))
	t.Cleanup(up.Close)
	g := start(t, files{"apis/a.yaml": passing(up.URL)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, query := range []string{"?length", ""} {
			p := &pattern{size: size}
			body.Store(p)
			before := live()
			resp, err := c.Get(site + "/x" + query)
			require.NoError(t, err)
			require.NoError(t, check(resp.Body, 0, mebibyte))
			ahead, held := settled(&p.read)-mebibyte, live()-before
			t.Logf("100 MiB download %q, reader stopped after 1 MiB: upstream is %d KiB ahead, heap grew by %d KiB", query, ahead>>10, held>>10)
			require.Less(t, ahead, int64(heldByKernel))
			require.Less(t, held, int64(16*mebibyte)) // Go's HTTP/2 client holds 4
			require.NoError(t, check(resp.Body, mebibyte, size-mebibyte))
			n, err := resp.Body.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			require.Zero(t, n)
			require.NoError(t, resp.Body.Close())
		}
	})
}

// An upstream that does not read makes the gateway stop reading the client.
func TestSlowUpstreamStopsTheClient(t *testing.T) {
	const size = 100 * mebibyte
	goOn, arrived := make(chan struct{}), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := check(r.Body, 0, mebibyte)
		arrived <- struct{}{}
		<-goOn
		if err == nil {
			err = check(r.Body, mebibyte, size-mebibyte)
		}
		if n, end := r.Body.Read(make([]byte, 1)); err == nil && (n != 0 || end != io.EOF) {
			err = fmt.Errorf("more than was sent: %d, %w", n, end)
		}
		fmt.Fprintf(w, "%v", err)
	}))
	t.Cleanup(up.Close)
	g := start(t, files{"apis/a.yaml": passing(up.URL), "wasmgate.yaml": "limits: {body_bytes: 200MiB}"})
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, length := range []int64{size, -1} {
			p := &pattern{size: size}
			before := live()
			req, err := http.NewRequestWithContext(t.Context(), "POST", site+"/x", p)
			require.NoError(t, err)
			req.ContentLength = length
			answered := make(chan string, 1)
			go func() { // the test takes what it brings
				resp, err := c.Do(req)
				if err != nil {
					answered <- err.Error()
					return
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				answered <- fmt.Sprint(resp.StatusCode, " ", string(text), " ", err)
			}()
			<-arrived
			ahead, held := settled(&p.read)-mebibyte, live()-before
			t.Logf("100 MiB upload, length %d, upstream stopped after 1 MiB: client is %d KiB ahead, heap grew by %d KiB", length, ahead>>10, held>>10)
			goOn <- struct{}{}
			require.Less(t, ahead, int64(heldByKernel))
			require.Less(t, held, int64(16*mebibyte)) // Go's HTTP/2 client holds 4
			require.Equal(t, "200 <nil> <nil>", <-answered)
		}
	})
}

// Bodies of any size pass in pieces: what is allocated for 100 MiB, by the client, the
// gateway and the upstream together, is a small part of that.
func TestBodiesAreStreamed(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var size int64
		fmt.Sscan(r.URL.Query().Get("size"), &size)
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			io.Copy(w, &pattern{size: size})
			return
		}
		fmt.Fprintf(w, "%v", check(r.Body, 0, size))
	}))
	t.Cleanup(up.Close)
	g := start(t, files{"apis/a.yaml": passing(up.URL), "wasmgate.yaml": "limits: {body_bytes: 200MiB}"})
	g.each(t, func(t *testing.T, c *http.Client) {
		require.Equal(t, 200, get(t, c, site+"/x?size=1").StatusCode)
		for _, size := range []int64{mebibyte, 100 * mebibyte} {
			for _, method := range []string{"GET", "POST"} {
				var body io.Reader
				if method == "POST" {
					body = &pattern{size: size}
				}
				req, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprint(site, "/x?size=", size), body)
				require.NoError(t, err)
				if method == "POST" {
					req.ContentLength = size
				}
				before, held, began := allocated(), live(), time.Now()
				resp, err := c.Do(req)
				require.NoError(t, err)
				if method == "GET" {
					require.NoError(t, check(resp.Body, 0, size))
				}
				rest, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				resp.Body.Close()
				if method == "POST" {
					require.Equal(t, "<nil>", string(rest))
				}
				took, total := time.Since(began), allocated()-before
				t.Logf("%s %3d MiB: %4d ms, allocated %6d KiB in all, heap after it %+d KiB", method, size>>20, took.Milliseconds(), total>>10, (live()-held)>>10)
				if !raceEnabled { // the race detector makes sync.Pool forget at random
					require.Less(t, total, int64(40*mebibyte))
				}
			}
		}
	})
}
