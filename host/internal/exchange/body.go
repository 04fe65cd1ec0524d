package exchange

import (
	"bytes"
	"errors"
	"io"
)

// ErrBodyTooLarge says that a body is longer than the caller can take.
var ErrBodyTooLarge = errors.New("body is larger than the limit")

// ErrInterrupted is what a Read of the body returns after [Interrupter.Interrupt].
var ErrInterrupted = errors.New("reading the body was interrupted")

// ErrReplied is what a Read of a body returns when a plugin that the body passes has answered
// by itself: the answer is to be had from the plugin.
var ErrReplied = errors.New("the plugin replied")

// BodyFault is an error in a Read of a body that is of a plugin which the body passes, and
// not of the client.
type BodyFault struct{ Err error }

// Error is the plugin's error.
func (f *BodyFault) Error() string { return f.Err.Error() }

// Unwrap is the plugin's error.
func (f *BodyFault) Unwrap() error { return f.Err }

// Interrupter is what an [Exchange.Body] may be, too: one whose Read can be ended while it
// waits for the client, because the answer is there (RFC 9110 10.1.1, RFC 9112 9.5).
type Interrupter interface {
	// Interrupt ends a Read that waits, and all that follow, with [ErrInterrupted]. It may be
	// called on any goroutine until the Handler has answered, and more than once. What the
	// client still sends is listen's business: it drains it or closes the connection.
	Interrupt()
}

// Prefix takes the first max bytes of the request body into memory and tells whether
// they are the whole body. [Exchange.BodyReader] still gives all of it.
func (x *Exchange) Prefix(max int) (body []byte, complete bool, err error) {
	for x.Body != nil && !x.complete && len(x.prefix) <= max {
		if len(x.prefix) == cap(x.prefix) {
			x.prefix = append(x.prefix, 0)[:len(x.prefix)]
		}
		room := x.prefix[len(x.prefix):min(cap(x.prefix), max+1)]
		n, err := x.Body.Read(room)
		x.prefix = x.prefix[:len(x.prefix)+n]
		if err == io.EOF {
			x.complete = true
		} else if err != nil {
			return nil, false, err
		}
	}
	if len(x.prefix) > max {
		return x.prefix[:max], false, nil
	}
	return x.prefix, true, nil
}

// Full takes the whole request body into memory; [ErrBodyTooLarge] when it is longer than max.
func (x *Exchange) Full(max int) ([]byte, error) {
	if !x.complete && x.BodyLength > int64(max) {
		return nil, ErrBodyTooLarge
	}
	body, complete, err := x.Prefix(max)
	if err != nil {
		return nil, err
	}
	if !complete {
		return nil, ErrBodyTooLarge
	}
	return body, nil
}

// SetBody puts body, which x then shares, in the place of the client's body. What the
// client still sends is not read here: listen drains it or closes the connection.
func (x *Exchange) SetBody(body []byte) {
	x.prefix, x.complete, x.BodyLength = body, true, int64(len(body))
}

// Wrap puts r, which reads what [Exchange.BodyReader] gave, in the place of the body; its
// length is -1 when it is not known. r may be an [Interrupter].
func (x *Exchange) Wrap(r io.Reader, length int64) {
	x.prefix, x.complete = nil, false // the bytes are r's now
	x.Body, x.BodyLength = r, length
}

// BodyReader is the whole request body with its length (-1 when unknown), for one
// reading; r is nil when there is none. whole is set when all of it is in memory, so
// that a retry can send it again.
func (x *Exchange) BodyReader() (r io.Reader, length int64, whole []byte) {
	switch {
	case x.complete && len(x.prefix) == 0:
		return nil, 0, nil
	case x.complete:
		return bytes.NewReader(x.prefix), int64(len(x.prefix)), x.prefix
	case x.Body == nil:
		return nil, 0, nil
	case len(x.prefix) == 0:
		return x.Body, x.BodyLength, nil
	}
	joined := io.MultiReader(bytes.NewReader(x.prefix), x.Body)
	if i, ok := x.Body.(Interrupter); ok {
		return struct {
			io.Reader
			Interrupter
		}{joined, i}, x.BodyLength, nil
	}
	return joined, x.BodyLength, nil
}
