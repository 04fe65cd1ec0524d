package abi

import (
	"fmt"
	"math"
)

// checkData checks the data of one field: structure and limits.
func checkData(t Type, data []byte) error {
	switch t {
	case TypeU64:
		if len(data) != 8 {
			return fmt.Errorf("u64 of %d bytes, want 8", len(data))
		}
	case TypePairs:
		return checkList(data, MaxPairs, 8, checkPair)
	case TypeValue:
		return checkValue(data)
	case TypeValues:
		return checkList(data, MaxNames, 4, checkNestedValue)
	case TypeEdits:
		return checkList(data, MaxEdits, editHead, checkEdit)
	case TypeBuckets:
		return checkList(data, MaxBuckets, bucketHead, checkBucket)
	case TypeNames:
		return checkList(data, MaxNames, 4, checkName)
	}
	return nil
}

// checkList checks a count and that many items, each with a head of that many bytes;
// item checks one and gives the bytes it takes, which may be more than there are.
func checkList(data []byte, limit, head int, item func(rest []byte) (uint64, error)) error {
	if len(data) < 4 {
		return fmt.Errorf("list of %d bytes, want at least 4", len(data))
	}
	count := little.Uint32(data)
	if uint64(count) > uint64(limit) {
		return fmt.Errorf("%d items, want at most %d", count, limit)
	}
	rest := data[4:]
	for i := range count {
		if len(rest) < head {
			return fmt.Errorf("item %d of %d is cut off", i, count)
		}
		size, err := item(rest)
		if err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
		if size > uint64(len(rest)) {
			return fmt.Errorf("item %d: %d bytes, %d are left", i, size, len(rest))
		}
		rest = rest[size:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes after the last item", len(rest))
	}
	return nil
}

func checkPair(rest []byte) (uint64, error) {
	return 8 + uint64(little.Uint32(rest)) + uint64(little.Uint32(rest[4:])), nil
}

func checkName(rest []byte) (uint64, error) {
	return 4 + uint64(little.Uint32(rest)), nil
}

func checkNestedValue(rest []byte) (uint64, error) {
	size := 4 + uint64(little.Uint32(rest))
	if size > uint64(len(rest)) {
		return size, nil
	}
	return size, checkValue(rest[4:size])
}

func checkEdit(rest []byte) (uint64, error) {
	op, n, v := Op(little.Uint16(rest)), uint64(little.Uint32(rest[4:])), uint64(little.Uint32(rest[8:]))
	size := editHead + n + v
	if int(op) >= len(opNames) || op == 0 {
		return 0, fmt.Errorf("unknown operation %d", uint16(op))
	}
	if zero := little.Uint16(rest[2:]); zero != 0 {
		return 0, fmt.Errorf("reserved bytes are %#x, want 0", zero)
	}
	if size > uint64(len(rest)) {
		return size, nil
	}
	return size, checkValue(rest[editHead+n : size])
}

func checkBucket(rest []byte) (uint64, error) {
	rate := math.Float64frombits(little.Uint64(rest))
	n, k := uint64(little.Uint32(rest[24:])), uint64(little.Uint32(rest[28:]))
	size := bucketHead + n + k
	if !(rate >= 0) || math.IsInf(rate, 1) {
		return 0, fmt.Errorf("rate %v, want a finite number from 0", rate)
	}
	if size > uint64(len(rest)) {
		return size, nil
	}
	return size, checkValue(rest[bucketHead+n : size])
}

func checkValue(data []byte) error {
	parts := 0
	for ; len(data) > 0; parts++ {
		if parts == MaxValueParts {
			return fmt.Errorf("value of more than %d parts", MaxValueParts)
		}
		if len(data) < 4 {
			return fmt.Errorf("value part %d is cut off", parts)
		}
		head := little.Uint32(data)
		n := uint64(head &^ selectorBit)
		if n > uint64(len(data)-4) {
			return fmt.Errorf("value part %d: %d bytes, %d are left", parts, n, len(data)-4)
		}
		if head&selectorBit != 0 {
			if _, _, err := ParseSelector(data[4 : 4+n]); err != nil {
				return fmt.Errorf("value part %d: %w", parts, err)
			}
		}
		data = data[4+n:]
	}
	return nil
}

// ranges is what numbers in a result may be.
var ranges = [...]struct {
	id       ResultField
	min, max uint64
}{
	{ResultDecision, 0, uint64(len(decisionNames) - 1)},
	{ResultScope, 0, uint64(len(scopeNames) - 1)},
	{ResultTTLMS, 0, MaxTTLMS},
	{ResultStatus, 200, 599}, // 1xx would not end the request (RFC 9110, section 15.2)
}

// rare is the fields that few results have and that are checked apart.
const rare = 1<<ResultCallFlags | 1<<ResultState | 1<<ResultContext | 1<<ResultIdentity | 1<<ResultWithoutBody

// checkMeaning refuses numbers that this version does not define: a host that guessed
// at the meaning of an unknown decision could let a request through.
func checkMeaning(r Result) error {
	for i := range ranges {
		c := &ranges[i]
		if v, ok := r.Uint(c.id); ok && (v < c.min || v > c.max) {
			return fmt.Errorf("parse result: %v is %d, want %d to %d", c.id, v, c.min, c.max)
		}
	}
	if r.set&rare == 0 {
		return nil
	}
	if v, _ := r.Uint(ResultCallFlags); CallFlags(v)&^knownCallFlags != 0 {
		return fmt.Errorf("parse result: unknown call_flags in %#x", v)
	}
	if n := len(r.Bytes(ResultState)); n > MaxStateBytes {
		return fmt.Errorf("parse result: state of %d bytes, want at most %d", n, MaxStateBytes)
	}
	if n := len(r.Bytes(ResultContext)); n > MaxContextBytes {
		return fmt.Errorf("parse result: context of %d bytes, want at most %d", n, MaxContextBytes)
	}
	for name := range r.Names(ResultIdentity).All {
		if _, _, err := ParseSelector(name); err != nil {
			return fmt.Errorf("parse result: identity: %w", err)
		}
	}
	for name := range r.Names(ResultWithoutBody).All {
		if _, ok := HookByName(string(name)); !ok {
			return fmt.Errorf("parse result: without_body names unknown hook %.64q", name)
		}
	}
	return nil
}
