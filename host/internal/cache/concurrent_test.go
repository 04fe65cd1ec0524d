package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
)

// herd sends n equal requests, each of which is in Serve before the first fetch returns.
// answer fills what a fetch brings.
func herd(t *testing.T, c *Cache, n int, r Request, answer func(call int64, x *exchange.Exchange) error) (calls int64, by map[Status]int, errs int) {
	t.Helper()
	var counter atomic.Int64
	by = map[Status]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	release := make(chan struct{})
	for range n {
		wg.Go(func() { // owned by the test, which waits
			x := request()
			defer x.Release()
			defer func() {
				if recover() != nil {
					mu.Lock()
					defer mu.Unlock()
					by["panic"]++
				}
			}()
			status, err := c.Serve(x, r, func() error {
				call := counter.Add(1)
				<-release
				return answer(call, x)
			})
			if err == nil && x.Response.Stream != nil {
				_, err = io.Copy(io.Discard, x.Response.Stream)
			}
			mu.Lock()
			defer mu.Unlock()
			by[status]++
			if err != nil {
				errs++
			}
		})
	}
	synctest.Wait() // all are blocked: in a fetch or waiting for one
	require.EqualValues(t, 1, counter.Load(), "fetches while all wait")
	close(release)
	wg.Wait()
	return counter.Load(), by, errs
}

func inBubble(t *testing.T, test func(t *testing.T, c *Cache)) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{})
		require.NoError(t, err)
		defer c.Close()
		test(t, c)
	})
}

func ok(_ int64, x *exchange.Exchange) error {
	x.Response.Status = 200
	x.Response.Header.Add("x-a", "b")
	x.Response.Body = []byte("body")
	return nil
}

func TestHerdFetchesOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Cache) {
		r := Request{Key: key("k"), TTL: time.Minute}
		calls, by, errs := herd(t, c, 100, r, ok)
		require.EqualValues(t, 1, calls)
		require.Equal(t, map[Status]int{Miss: 1, Collapsed: 99}, by)
		require.Zero(t, errs)
	})
}

func TestHerdSharesAFailure(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Cache) {
		r := Request{Key: key("k"), TTL: time.Minute}
		calls, by, errs := herd(t, c, 100, r, func(int64, *exchange.Exchange) error { return errors.New("refused") })
		require.EqualValues(t, 1, calls)
		require.Equal(t, map[Status]int{Miss: 1, Collapsed: 99}, by)
		require.Equal(t, 100, errs)
	})
}

// When the answer may not be shared, the others go at once and all together, and for a
// while nobody waits for anybody.
func TestHerdOfWhatMayNotBeStored(t *testing.T) {
	for name, answer := range map[string]func(int64, *exchange.Exchange) error{
		"private": func(call int64, x *exchange.Exchange) error {
			x.Response.Header.Add("cache-control", "private")
			return ok(call, x)
		},
		"streaming": func(call int64, x *exchange.Exchange) error {
			x.Response.Status, x.Response.Length = 200, -1
			x.Response.Stream = io.NopCloser(strings.NewReader("body"))
			return nil
		},
		"panic": func(call int64, x *exchange.Exchange) error {
			if call == 1 {
				panic(errors.New("first"))
			}
			x.Response.Header.Add("cache-control", "private")
			return ok(call, x)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *Cache) {
				r := Request{Key: key("k"), TTL: time.Minute}
				_, by, errs := herd(t, c, 50, r, answer)
				require.Zero(t, errs)
				require.Equal(t, 50, by[Miss]+by[Hit]+by["panic"])
				require.Equal(t, name == "panic", by["panic"] == 1)
				if name == "private" { // the pass: two at once, neither waits for the other
					x := request()
					defer x.Release()
					_, err := c.Serve(x, r, func() error {
						y := request()
						defer y.Release()
						_, err := c.Serve(y, r, func() error { return answer(0, y) })
						require.NoError(t, err)
						return answer(0, x)
					})
					require.NoError(t, err)
				}
			})
		})
	}
}

func TestPassDoesNotLast(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Cache) {
		r := Request{Key: key("k"), TTL: time.Minute}
		x := request()
		defer x.Release()
		_, err := c.Serve(x, r, func() error { x.Response.Status = 503; return nil })
		require.NoError(t, err)
		time.Sleep(3 * time.Second) // of the bubble's clock
		calls, _, _ := herd(t, c, 20, r, ok)
		require.EqualValues(t, 1, calls)
	})
}

// The leader's client goes away: another one leads, and nobody gets the leader's error.
func TestLeaderGoesAway(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Cache) {
		r := Request{Key: key("k"), TTL: time.Minute}
		ctx, cancel := context.WithCancel(context.Background())
		var calls atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() { // owned by the test, which waits
			x := request()
			defer x.Release()
			x.Context = ctx
			_, err := c.Serve(x, r, func() error { calls.Add(1); <-ctx.Done(); return ctx.Err() })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the leader got %v", err)
			}
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() { // owned by the test, which waits
				x := request()
				defer x.Release()
				_, err := c.Serve(x, r, func() error { calls.Add(1); return ok(0, x) })
				if err != nil || x.Response.Status != 200 {
					t.Errorf("a waiter got %d %v", x.Response.Status, err)
				}
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestWaiterGoesAway(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Cache) {
		r := Request{Key: key("k"), TTL: time.Minute}
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { // owned by the test, which waits
			x := request()
			defer x.Release()
			if _, err := c.Serve(x, r, func() error { <-release; return ok(0, x) }); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		x := request()
		defer x.Release()
		x.Context = ctx
		_, err := c.Serve(x, r, func() error { t.Error("fetched twice"); return nil })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(release)
		wg.Wait()
	})
}

// Many keys, variants, flushes and expiries at once: every answer belongs to its request.
func TestHammer(t *testing.T) {
	b := newBench(t, Options{Bytes: 256 << 10})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() { // owned by this test, which waits
			for i := range 1000 {
				k, accept := fmt.Sprint((i*7+g)%40), fmt.Sprint(i%3)
				u := &upstream{body: k + "/" + accept + strings.Repeat(".", i%5*1000), lines: []string{"vary: accept"}, stream: i%11 == 0}
				r := Request{Key: key(k), TTL: time.Minute, Group: b.Group(fmt.Sprint(i % 2))}
				_, got := b.get(u, r, "accept: "+accept)
				if !strings.HasPrefix(got, "200 "+k+"/"+accept) {
					t.Errorf("key %s accept %s: got %.40s", k, accept, got)
				}
				if i%100 == 0 {
					b.Flush(fmt.Sprint(g % 2))
					b.wait(20 * time.Second)
				}
			}
		})
	}
	wg.Wait()
}
