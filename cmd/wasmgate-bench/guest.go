package main

import (
	"encoding/binary"
	"slices"
	"strconv"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// tinyGuest is the smallest plugin with a map_request hook, which has no opinion: a
// module of its own for each generation, which a custom section holds.
func tinyGuest(generation int) []byte {
	const function, memory = 0, 2
	export := func(name string, kind, index byte) []byte { return append(vector([]byte(name)), kind, index) }
	code := func(instructions ...byte) []byte { return vector(slices.Concat([]byte{0}, instructions, []byte{0x0b})) }
	i64 := func(v int64) []byte { return appendSigned([]byte{0x42}, v) } // i64.const

	const scratch, room = 1024, 64<<10 - 1024
	return slices.Concat(
		[]byte("\x00asm\x01\x00\x00\x00"),
		section(1, 3, []byte{0x60, 0, 0}, []byte{0x60, 0, 1, 0x7e}, []byte{0x60, 1, 0x7f, 1, 0x7e}), // (), () -> i64, (i32) -> i64
		section(3, 3, []byte{0, 1, 2}),
		section(5, 1, []byte{1, 1, 1}), // one page, never more
		section(7, 4, export(abi.Memory, memory, 0), export(abi.Marker, function, 0), export(abi.Scratch, function, 1),
			export(abi.HookMapRequest.Export(), function, 2)),
		section(10, 3, code(), code(i64(scratch<<32|room)...), code(i64(0)...)),
		custom("generation", []byte(strconv.Itoa(generation))),
	)
}

// section is a section that is a vector of count items.
func section(id, count byte, items ...[]byte) []byte {
	body := append([]byte{count}, slices.Concat(items...)...)
	return append([]byte{id}, vector(body)...)
}

func custom(name string, data []byte) []byte {
	return append([]byte{0}, vector(append(vector([]byte(name)), data...))...)
}

// vector is bytes with their length before them.
func vector(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

// appendSigned appends v as signed LEB128.
func appendSigned(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}
