// A guest for measuring: what real policies do, written in Go without an SDK.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"sort"
	"strings"
	"unsafe"
)

var scratch [64 << 10]byte

//go:wasmexport wg_abi_v1
func marker() {}

//go:wasmexport wg_scratch
func scratchArea() int64 {
	return int64(uintptr(unsafe.Pointer(&scratch)))<<32 | int64(len(scratch))
}

// result is an empty record.
var result = [16]byte{'W', 'G', 'R', '1', 1, 0, 0, 0, 16}

func answer(hook uint16) int64 {
	binary.LittleEndian.PutUint16(result[12:], hook)
	return int64(uintptr(unsafe.Pointer(&result)))<<32 | int64(len(result))
}

// configure decodes once: what it warms up stays warm with isolation fresh.
//
//go:wasmexport wg_configure
func configure(n int32) int64 {
	benchJSON(1)
	return answer(1)
}

//go:wasmexport wg_authorize
func authorize(n int32) int64 { return answer(3) }

var token = base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://issuer.example","sub":"user-17","aud":["api","web"],"exp":1790000000,"iat":1780000000,"scope":"read write admin","groups":["a","b","c"]}`))

type claims struct {
	Iss    string   `json:"iss"`
	Sub    string   `json:"sub"`
	Aud    []string `json:"aud"`
	Exp    int64    `json:"exp"`
	Iat    int64    `json:"iat"`
	Scope  string   `json:"scope"`
	Groups []string `json:"groups"`
}

//go:wasmexport bench_json
func benchJSON(n int32) int64 {
	total := int64(0)
	for range n {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			panic(err)
		}
		var c claims
		if err := json.Unmarshal(raw, &c); err != nil {
			panic(err)
		}
		total += c.Exp + int64(len(c.Sub)) + int64(len(strings.Fields(c.Scope)))
	}
	return total
}

//go:wasmexport bench_scan
func benchScan(n int32) int64 {
	total := int64(0)
	var buf [512]byte
	for range n {
		k, _ := base64.RawURLEncoding.Decode(buf[:], []byte(token))
		raw := buf[:k]
		for _, key := range []string{`"exp":`, `"sub":"`, `"scope":"`} {
			i := bytes.Index(raw, []byte(key))
			for _, c := range raw[i+len(key):] {
				if c == ',' || c == '"' || c == '}' {
					break
				}
				total += int64(c)
			}
		}
	}
	return total
}

//go:wasmexport bench_sort
func benchSort(n int32) int64 {
	total := int64(0)
	for r := range n {
		s := make([]int, 200)
		x := uint32(r)*2654435761 + 1
		for i := range s {
			x = x*1664525 + 1013904223
			s[i] = int(x >> 8)
		}
		sort.Ints(s)
		m := map[string]int{}
		for i := range s {
			m[string(rune('a'+i%26))] += s[i]
		}
		total += int64(s[100]) + int64(len(m))
	}
	return total
}

var (
	kept   [][]byte
	counts = map[string]int{}
)

// remember keeps the request where a program keeps things, and grows the heap.
//
//go:wasmexport wg_identify
func remember(n int32) int64 {
	request := bytes.Clone(scratch[:n])
	counts[string(request)]++
	kept = append(kept, request, bytes.Repeat(request, 8<<20/len(request)))
	return answer(4)
}

// decode does what a policy does that reads JSON with the standard library.
//
//go:wasmexport wg_observe
func decode(n int32) int64 {
	if benchJSON(1) == 0 {
		panic("no claims")
	}
	return answer(10)
}

// window answers with the memory at the pointer and of the length in the request's id, which
// is its first field of three.
//
//go:wasmexport wg_throttle
func window(n int32) int64 {
	return int64(binary.LittleEndian.Uint64(scratch[16+3*12:]))
}

func main() {}
