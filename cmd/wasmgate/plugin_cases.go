package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/cmd/wasmgate/project"
	"github.com/wasmgate/wasmgate/host"
)

// caseFlags choose the cases of plugin test and plugin bench.
type caseFlags struct {
	files []string
	run   string
}

func (f *caseFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.files, "cases", nil, "case `files`, patterns too; testdata/*.json beside the plugin when left out")
	cmd.Flags().StringVar(&f.run, "run", "", "only cases whose name matches this `regexp`")
}

// namedCase is a case and the file that it stands in.
type namedCase struct {
	file string
	*casefile.Case
}

// workbench opens the plugin that args name, a folder or a module, and its cases.
func (f *caseFlags) workbench(cmd *cobra.Command, args []string) (*host.Workbench, []namedCase, error) {
	target := "."
	if len(args) == 1 {
		target = args[0]
	}
	module, patterns := target, []string{filepath.Join(filepath.Dir(target), "testdata", "*.json")}
	if filepath.Ext(target) != ".wasm" {
		p, err := project.Open(target)
		if err != nil {
			return nil, nil, err
		}
		module, patterns[0] = p.File(), filepath.Join(target, "testdata", "*.json")
		// A test of what was written before would pass, and prove nothing of what is written now.
		if newer := p.Newer(); newer != "" {
			return nil, nil, fmt.Errorf("%s is older than %s: run `wasmgate plugin build`", module, newer)
		}
	}
	if len(f.files) > 0 {
		patterns = f.files
	}
	cases, err := f.load(patterns)
	if err != nil {
		return nil, nil, err
	}
	wasm, err := os.ReadFile(module)
	if errors.Is(err, fs.ErrNotExist) && module != target {
		return nil, nil, fmt.Errorf("%s is not there: run `wasmgate plugin build`", module)
	}
	if err != nil {
		return nil, nil, err
	}
	bench, err := openBench(cmd.Context(), strings.TrimSuffix(filepath.Base(module), ".wasm"), wasm)
	return bench, cases, err
}

func openBench(ctx context.Context, id string, wasm []byte) (*host.Workbench, error) {
	return host.OpenWorkbench(ctx, host.WorkbenchOptions{ID: id, Wasm: wasm})
}

// load reads the cases that were chosen; none is an error, since a test of nothing passes.
func (f *caseFlags) load(patterns []string) (cases []namedCase, err error) {
	chosen, err := regexp.Compile(f.run)
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("case files %q: %w", pattern, err)
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("case files %q: there is none", pattern)
		}
		for _, file := range files {
			list, err := casefile.Load(file)
			if err != nil {
				return nil, err
			}
			for _, c := range list {
				if chosen.MatchString(c.Name) {
					cases = append(cases, namedCase{file, c})
				}
			}
		}
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("--run %q: no case has such a name", f.run)
	}
	return cases, nil
}

// caseReport is how one case came out.
type caseReport struct {
	File   string   `json:"file"`
	Name   string   `json:"name"`
	Hook   string   `json:"hook"`
	OK     bool     `json:"ok"`
	Fuel   uint64   `json:"fuel"`
	Errors []string `json:"errors,omitempty"` // what differs, a field each
	Log    []string `json:"log,omitempty"`    // lines of the plugin
}

func (a *app) pluginTest() *cobra.Command {
	var flags caseFlags
	cmd := &cobra.Command{
		Use:   "test [DIR | FILE.wasm]",
		Short: "Run a plugin's case files on the gateway's engine",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			bench, cases, err := flags.workbench(cmd, args)
			if err != nil {
				return err
			}
			defer bench.Close(cmd.Context())
			failed := 0
			reports := make([]caseReport, len(cases))
			for i, c := range cases {
				if reports[i] = runCase(cmd.Context(), bench, c); !reports[i].OK {
					failed++
				}
			}
			summary := map[string]any{"plugin": bench.ID(), "passed": len(cases) - failed, "failed": failed, "cases": reports}
			if err := a.print(cmd.OutOrStdout(), summary, func(w io.Writer) error { return writeReports(w, reports, failed) }); err != nil {
				return err
			}
			if failed > 0 {
				return errReported
			}
			return nil
		},
	}
	flags.add(cmd)
	return cmd
}

func runCase(ctx context.Context, bench *host.Workbench, c namedCase) caseReport {
	o := bench.Run(ctx, c.Case)
	r := caseReport{File: c.file, Name: c.Name, Hook: c.Hook.String(), OK: true, Fuel: o.Fuel, Log: o.Lines}
	if err := o.Check(c.Case); err != nil {
		r.OK, r.Errors = false, strings.Split(err.Error(), "\n")
	}
	return r
}

// writeReports writes a line for each case, and for one that failed what differs.
func writeReports(w io.Writer, reports []caseReport, failed int) error {
	for _, r := range reports {
		if r.OK {
			fmt.Fprintf(w, "ok    %s: %s (%s, %d fuel)\n", r.File, r.Name, r.Hook, r.Fuel)
			continue
		}
		fmt.Fprintf(w, "FAIL  %s: %s (%s, %d fuel)\n", r.File, r.Name, r.Hook, r.Fuel)
		for _, e := range r.Errors {
			fmt.Fprintf(w, "      %s\n", e)
		}
		for _, line := range r.Log {
			fmt.Fprintf(w, "      log: %q\n", line)
		}
	}
	_, err := fmt.Fprintf(w, "%d passed, %d failed\n", len(reports)-failed, failed)
	return err
}
