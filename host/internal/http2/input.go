package http2

import (
	"io"
	"sync"
)

// inputSize holds any frame whole.
const inputSize = headerSize + maxFrame + 503

var inputs = sync.Pool{New: func() any { return new([inputSize]byte) }}

// input is the receiving side's buffer; it holds no memory while nothing is there.
type input struct {
	buf   *[inputSize]byte
	r, w  int
	first [1]byte
}

func (in *input) bytes() []byte {
	if in.buf == nil {
		return nil
	}
	return in.buf[in.r:in.w]
}

func (in *input) empty() bool { return in.r == in.w }

func (in *input) advance(n int) { in.r += n }

// wait waits for a byte without holding a buffer.
func (in *input) wait(src io.Reader) error {
	in.release()
	n, err := src.Read(in.first[:])
	if n == 0 {
		return orNoProgress(err)
	}
	in.buf = inputs.Get().(*[inputSize]byte)
	in.buf[0] = in.first[0]
	in.r, in.w = 0, 1
	return nil
}

// fill reads what fits.
func (in *input) fill(src io.Reader) error {
	if in.buf == nil {
		in.buf = inputs.Get().(*[inputSize]byte)
	}
	switch {
	case in.r == in.w:
		in.r, in.w = 0, 0
	case in.r > 0 && len(in.buf)-in.w < maxFrame/2:
		in.w = copy(in.buf[:], in.buf[in.r:in.w])
		in.r = 0
	}
	n, err := src.Read(in.buf[in.w:])
	in.w += n
	if n == 0 {
		return orNoProgress(err)
	}
	return nil
}

func (in *input) release() {
	if in.buf != nil {
		inputs.Put(in.buf)
	}
	in.buf, in.r, in.w = nil, 0, 0
}

func orNoProgress(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}
