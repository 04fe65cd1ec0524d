package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	var s settings
	flag.StringVar(&s.root, "root", ".", "root of the repository")
	flag.StringVar(&s.gateway, "gateway", "bin/wasmgate", "the gateway's binary")
	flag.StringVar(&s.earlier, "earlier", "", "another build of the gateway to compare with; empty is none")
	flag.IntVar(&s.rounds, "rounds", 5, "turns of each gateway")
	flag.DurationVar(&s.duration, "duration", 5*time.Second, "of one load")
	flag.IntVar(&s.workers, "workers", runtime.NumCPU(), "threads or processes of each gateway")
	flag.IntVar(&s.connections, "connections", 64, "connections of the load, and kept alive to the upstream")
	flag.IntVar(&s.rate, "rate", 1000, "requests a second of the open loop")
	flag.IntVar(&s.idle, "idle", 4000, "idle connections")
	flag.IntVar(&s.reloads, "reloads", 10000, "plugin reloads, and rollouts")
	names := flag.String("rows", "all", "rows to measure, with commas between: "+strings.Join(rowNames(), ", "))
	only := flag.String("peers", "", "peers to compare with, with commas between; empty is all")
	jsonFile := flag.String("json", "", "file for the result as JSON")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measure(ctx, s, *names, *only, *jsonFile); err != nil {
		fmt.Fprintln(os.Stderr, "wasmgate-bench:", err)
		os.Exit(1)
	}
}

// measure measures the rows and writes the table on stdout. A row that fails does not
// keep the others from being measured, but the result is an error.
func measure(parent context.Context, s settings, names, only, jsonFile string) error {
	selected, err := selectRows(names)
	if err != nil {
		return err
	}
	for _, path := range []*string{&s.root, &s.gateway, &s.earlier} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if only != "" {
		s.only = strings.Split(only, ",")
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("run on %s: want linux, whose /proc tells the CPU time of each gateway", runtime.GOOS)
	}
	ctx, cancel := context.WithCancel(parent)
	b, err := newBench(ctx, s, os.Stderr)
	if err != nil {
		cancel()
		return err
	}
	r := report{Machine: machine(), Settings: describe(s)}
	var failed []error
	for _, row := range selected {
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(b.progress, "%s: %s\n", row.name, row.title)
		stolen, all := processorTime()
		result, err := row.run(ctx, b)
		if s, a := processorTime(); a > all {
			result.Stolen = (s - stolen) / (a - all)
		}
		result.Row, result.Title, result.Target = row.name, row.title, row.target
		if err != nil {
			result.Missing = append(result.Missing, err.Error())
			failed = append(failed, fmt.Errorf("row %s: %w", row.name, err))
		}
		r.Rows = append(r.Rows, result)
	}
	cancel()
	failed = append(failed, parent.Err(), b.close(), write(r, os.Stdout, jsonFile))
	return errors.Join(failed...)
}

func write(r report, w io.Writer, jsonFile string) error {
	err := r.markdown(w)
	if jsonFile == "" {
		return err
	}
	data, jsonErr := r.json()
	return errors.Join(err, jsonErr, os.WriteFile(jsonFile, data, 0o644))
}

func selectRows(names string) ([]row, error) {
	if names == "all" {
		return rows(), nil
	}
	var selected []row
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(rows(), func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("row %q: want one of %s", name, strings.Join(rowNames(), ", "))
		}
		selected = append(selected, rows()[i])
	}
	return selected, nil
}

func rowNames() []string {
	var names []string
	for _, r := range rows() {
		names = append(names, r.name)
	}
	return names
}
