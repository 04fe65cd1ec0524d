//go:build !wasip1

package wasmgate

import "encoding/binary"

var little = binary.LittleEndian

func load16(b []byte, at int) uint16     { return little.Uint16(b[at:]) }
func load32(b []byte, at int) uint32     { return little.Uint32(b[at:]) }
func load64(b []byte, at int) uint64     { return little.Uint64(b[at:]) }
func store16(b []byte, at int, v uint16) { little.PutUint16(b[at:], v) }
func store32(b []byte, at int, v uint32) { little.PutUint32(b[at:], v) }
func store64(b []byte, at int, v uint64) { little.PutUint64(b[at:], v) }
