//go:build !race

package cache

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHitAllocatesNothing(t *testing.T) {
	b := newBench(t, Options{})
	for _, vary := range []string{"x-none", "accept"} {
		u := &upstream{body: strings.Repeat("x", 256), lines: []string{"content-type: a/b", "vary: " + vary}}
		r := Request{Key: key(vary), TTL: time.Minute}
		x := request("accept: a")
		fetch := u.fetch(x)
		serve := func() {
			x.Response.Reset()
			if _, err := b.Serve(x, r, fetch); err != nil {
				t.Fatal(err)
			}
		}
		serve()
		require.Zero(t, testing.AllocsPerRun(1000, serve))
		require.EqualValues(t, 1, u.calls.Load())
	}
}
