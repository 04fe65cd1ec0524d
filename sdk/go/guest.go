package wasmgate

import "github.com/wasmgate/wasmgate/sdk/go/internal/wire"

// A module is one guest, so what follows is the guest's own memory, touched by one call
// at a time: in Wasm there is one thread, and natively Call locks.
var (
	handlers [16]func(*Request, *Writer)
	request  Request
	result   Writer
	scratch  []byte
)

// DefaultScratch is the scratch area's size unless [SetScratch] was called: room for a
// body of 64 KiB, heads and the largest header list.
const DefaultScratch = 320 << 10

// SetScratch makes the scratch area n bytes large. A plugin whose manifest asks for
// bodies over 64 KiB calls it in init, with the body's maximum and 256 KiB more; a
// request that does not fit is refused by the host. It panics once the host asked.
func SetScratch(n int) {
	if scratch != nil {
		panic("wasmgate: SetScratch after the start")
	}
	scratch = make([]byte, n)
}

// Register sets the handler of a hook; the hook packages call it. It panics when there
// is one already.
func Register(hook uint16, f func(*Request, *Writer)) {
	if handlers[hook] != nil {
		panic("wasmgate: Handle called twice for one hook")
	}
	handlers[hook] = f
}

// serve answers one request record; the result holds until the next call.
func serve(hook uint16, record []byte) []byte {
	f := handlers[hook]
	if f == nil {
		panic("wasmgate: hook exported, but Handle was not called in init")
	}
	request.parse(record)
	if got := load16(record, 12); got != hook {
		panic("wasmgate: record of another hook")
	}
	result.Start(hook)
	f(&request, &result)
	out := result.Finish()
	if len(out) > wire.MaxResultBytes {
		panic("wasmgate: result is over a MiB")
	}
	return out
}
