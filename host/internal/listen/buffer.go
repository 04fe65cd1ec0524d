package listen

import "sync"

// bufferSize is that of answers under way: what one TLS record holds (RFC 8446 5.1).
const bufferSize = 16 * kib

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func getBuffer() *[bufferSize]byte  { return buffers.Get().(*[bufferSize]byte) }
func putBuffer(b *[bufferSize]byte) { buffers.Put(b) }
