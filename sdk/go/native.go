//go:build !wasip1

package wasmgate

import (
	"slices"
	"sync"
)

// Native is the host's part of the capabilities in native tests. Statuses are those of
// the contract: 0, or negative for a failure.
type Native interface {
	Log(level int32, line string)
	HTTPCall(record []byte) (answer []byte, status int32)
	KVGet(key string) (value []byte, status int32)
	KVSet(key string, value []byte, ttlMS int64) (status int32)
	KVDelete(key string) (status int32)
	Secret(name string) (value []byte, status int32)
	HMACSHA256(secret string, data []byte) (sum [32]byte, status int32)
	JWKSVerify(url, token string) (status int32)
}

var (
	calls  sync.Mutex
	native Native
)

// SetNative sets what the capabilities reach in native tests; not during a [Call].
func SetNative(n Native) {
	calls.Lock()
	defer calls.Unlock()
	native = n
}

// NativeHost is what [SetNative] set, for the capability packages. It panics when a
// capability is used without one.
func NativeHost() Native {
	if native == nil {
		panic("wasmgate: a capability is used natively without SetNative")
	}
	return native
}

// Call runs a hook of this process natively, for tests: a request record in, a copy of
// the result record out, nil for a result without fields. Calls run one after another;
// a panic of the handler, which would trap in Wasm, is the caller's to recover.
func Call(hook uint16, record []byte) []byte {
	calls.Lock()
	defer calls.Unlock()
	return slices.Clone(serve(hook, record))
}

// Fill answers as a capability that gives a value: it copies value to out when it fits
// and gives its length, or the status when that is a failure.
func Fill(out, value []byte, status int32) int64 {
	if status < 0 {
		return int64(status)
	}
	if len(value) <= len(out) {
		copy(out, value)
	}
	return int64(len(value))
}
