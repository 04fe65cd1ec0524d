package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// micro is a row of microbenchmarks: those of pkg whose name matches pattern.
func micro(pkg, pattern string) func(context.Context, *bench) (result, error) {
	return func(ctx context.Context, b *bench) (result, error) {
		command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchmem",
			"-count", strconv.Itoa(b.rounds), "-timeout", "20m", pkg)
		command.Dir = b.root
		var stderr bytes.Buffer
		command.Stderr = &stderr
		out, err := command.Output()
		if err != nil {
			return result{}, fmt.Errorf("run the benchmarks of %s: %w: %s%s", pkg, err, out, stderr.Bytes())
		}
		lines := parseBenchmarks(out)
		if len(lines) == 0 {
			return result{}, fmt.Errorf("run the benchmarks of %s: no name matches %q", pkg, pattern)
		}
		return result{Lines: lines}, nil
	}
}

var benchmarkLine = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)

// parseBenchmarks reads the lines that go test prints, several for each benchmark.
func parseBenchmarks(out []byte) []line {
	type key struct{ name, unit string }
	var order []key
	values := map[key][]float64{}
	for _, m := range benchmarkLine.FindAllStringSubmatch(string(out), -1) {
		fields := strings.Fields(m[2])
		for i := 0; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				continue
			}
			k := key{m[1], fields[i+1]}
			if values[k] == nil {
				order = append(order, k)
			}
			values[k] = append(values[k], v)
		}
	}
	var lines []line
	for _, k := range order {
		lines = append(lines, line{Subject: k.name, Unit: k.unit, Value: spreadOf(values[k])})
	}
	return lines
}
