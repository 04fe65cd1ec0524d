// Canary is a guest for tests: it keeps what a request says, tells the next one, and shows
// its memory. With isolation fresh it can tell and show nothing.
package main

import (
	"strings"

	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/guard"
)

var (
	kept  string
	first byte
)

func init() {
	guard.Handle(func(r *guard.Request) guard.Result {
		tell := guard.Allow().Because(kept)
		if first != 0 {
			tell.Answer.Headers = []wasmgate.Pair{{Name: "x-first", Value: string(rune(first))}}
		}
		kept = strings.Clone(r.Header("x-canary"))
		first = kept[0]
		return tell
	})
}

func main() {}
