// Package hpack is the header compression of HTTP/2 (RFC 7541): a [Decoder] for what
// clients send and an [Encoder] for answers.
//
// Both keep their dynamic table in one piece of memory of at most twice the table's size
// and allocate nothing per field. The decoder gives fields one by one as slices into that
// memory, so that whoever counts them and their bytes can stop keeping them: a block of
// one-byte references to a large entry (the "HPACK bomb", CVE-2026-47774) costs only the
// time to walk over it. The encoder puts a field into the table when it sees it for the
// second time, so that what differs from answer to answer never pushes out what is the same.
//
// It refuses what RFC 7541 calls a decoding error, integers beyond 2^28, and more than
// two size updates in one block. It does not look at what fields mean.
//
// table.go answers for RFC 7541 2.3, 4 and appendix A, integer.go for 5.1, huffman.go for
// 5.2 and appendix B, decode.go and encode.go for 6 and 7.1. Start with [Decoder.Next].
package hpack
