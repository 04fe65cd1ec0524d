package wasmgate

import "github.com/wasmgate/wasmgate/sdk/go/internal/wire"

// Error is how a capability failed. A code that this SDK does not know is as good as
// [ErrInternal].
type Error int32

// The failures of capabilities; compare with ==.
const (
	// ErrNotFound: there is no such thing.
	ErrNotFound Error = wire.StatusNotFound
	// ErrNotGranted: the policy's grants do not reach that far.
	ErrNotGranted Error = wire.StatusNotGranted
	// ErrBadArgument: an argument is wrong.
	ErrBadArgument Error = wire.StatusBadArgument
	// ErrInvalid: the thing was looked at and is not valid, such as a signature.
	ErrInvalid Error = wire.StatusInvalid
	// ErrUnavailable: the other side cannot be reached.
	ErrUnavailable Error = wire.StatusUnavailable
	// ErrTimeout: the deadline passed.
	ErrTimeout Error = wire.StatusTimeout
	// ErrLimit: a limit was reached.
	ErrLimit Error = wire.StatusLimit
	// ErrInternal: the host failed.
	ErrInternal Error = wire.StatusInternal
)

// Error is the status in words.
func (e Error) Error() string {
	switch e {
	case ErrNotFound:
		return "not found"
	case ErrNotGranted:
		return "not granted"
	case ErrBadArgument:
		return "bad argument"
	case ErrInvalid:
		return "invalid"
	case ErrUnavailable:
		return "unavailable"
	case ErrTimeout:
		return "timeout"
	case ErrLimit:
		return "limit reached"
	}
	return "internal failure"
}

// StatusError is nil for a status of 0 or more, else an [Error]; the capability
// packages use it.
func StatusError(status int32) error {
	if status >= 0 {
		return nil
	}
	return Error(status)
}

// Fetch calls get, which fills out and answers with the length of the whole value,
// until the value fits, and appends the value to dst; the capability packages use it.
func Fetch(dst []byte, get func(out []byte) int64) ([]byte, error) {
	if cap(dst)-len(dst) < 256 {
		dst = append(make([]byte, 0, len(dst)+4096), dst...)
	}
	for {
		room := dst[len(dst):cap(dst)]
		n := get(room)
		if n < 0 {
			return dst, StatusError(int32(n))
		}
		if n <= int64(len(room)) {
			return dst[:len(dst)+int(n)], nil
		}
		dst = append(make([]byte, 0, len(dst)+int(n)), dst...)
	}
}
