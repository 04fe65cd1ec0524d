package document

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// SizePattern is the regular expression of what [Size] takes.
const SizePattern = `^[0-9]+(B|KiB|MiB|GiB|TiB)?$`

// DurationPattern is the regular expression of the durations in documents: what
// [time.ParseDuration] takes without sign, fraction and odd units.
const DurationPattern = `^([0-9]+(ms|s|m|h))+$`

// Size reads a number of bytes such as "65536", "64KiB" or "10MiB". Units are binary;
// KB and MB, which mean one thing to some and another to others, are refused.
func Size(text string) (int64, error) {
	digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
	shift, ok := map[string]uint{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("read size: got %q, want a number with B, KiB, MiB, GiB or TiB", text)
	}
	return n << shift, nil
}
