// Soak is a guest that leaves 160 KiB of garbage in every call, for the test that the
// Go collector keeps up.
package main

import "github.com/wasmgate/wasmgate/sdk/go/guard"

var kept [][]byte

func init() {
	guard.Handle(func(r *guard.Request) guard.Result {
		kept = append(kept, make([]byte, 64<<10))
		for range 100 {
			kept = append(kept, make([]byte, 1<<10))
		}
		if len(kept) > 1000 {
			kept = nil
		}
		return guard.Allow()
	})
}

func main() {}
