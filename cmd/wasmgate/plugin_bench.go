package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host"
)

// benchReport is what plugin bench prints. Times are nanoseconds.
type benchReport struct {
	Plugin  string      `json:"plugin"`
	Compile int64       `json:"compile_ns"`
	Cases   []caseCosts `json:"cases"`
}

type caseCosts struct {
	File   string   `json:"file"`
	Name   string   `json:"name"`
	Hook   string   `json:"hook"`
	Fuel   uint64   `json:"fuel"`
	Pooled costLine `json:"pooled"`
	Fresh  costLine `json:"fresh"`
}

type costLine struct {
	Call      int64  `json:"call_ns"`
	Bind      int64  `json:"new_instance_ns"`
	Memory    uint64 `json:"memory_bytes"` // of one instance
	Callers   int    `json:"callers"`      // at once
	Instances int    `json:"instances"`    // held then
}

func (a *app) pluginBench() *cobra.Command {
	var flags caseFlags
	most := time.Second
	cmd := &cobra.Command{
		Use:   "bench [DIR | FILE.wasm]",
		Short: "Measure what a plugin's cases cost on the gateway's engine",
		Long: "Measure each case that calls a hook, with the isolations pooled and fresh: a call, a new\n" +
			"instance with its configuration, the memory of one instance, and how many instances as many\n" +
			"callers as there are CPUs take. Fuel is the same everywhere, times are this machine's.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if most <= 0 {
				return fmt.Errorf("--time %v, want more than 0", most)
			}
			bench, cases, err := flags.workbench(cmd, args)
			if err != nil {
				return err
			}
			defer bench.Close(cmd.Context())
			report := benchReport{Plugin: bench.ID(), Compile: bench.CompileTime().Nanoseconds()}
			for _, c := range cases {
				if c.Hook == abi.HookConfigure || c.Error != "" || c.Trap != nil {
					continue // what configuring costs is in the others, a trap costs an instance
				}
				f, err := bench.Measure(cmd.Context(), c.Case, most)
				if err != nil {
					return fmt.Errorf("%s: case %q: %w", c.file, c.Name, err)
				}
				report.Cases = append(report.Cases, caseCosts{c.file, c.Name, c.Hook.String(), f.Fuel, lineOf(f.Pooled), lineOf(f.Fresh)})
			}
			if len(report.Cases) == 0 {
				return fmt.Errorf("measure plugin %q: no case calls a hook but configure and comes back", report.Plugin)
			}
			return a.print(cmd.OutOrStdout(), report, func(w io.Writer) error { return report.write(w) })
		},
	}
	flags.add(cmd)
	cmd.Flags().DurationVar(&most, "time", most, "about how long to measure each case")
	return cmd
}

func lineOf(c host.CaseCost) costLine {
	return costLine{c.Call.Nanoseconds(), c.Bind.Nanoseconds(), c.Memory, c.Callers, c.Instances}
}

func (r *benchReport) write(w io.Writer) error {
	fmt.Fprintf(w, "%s: compiled in %v; %d callers at once on this machine\n", r.Plugin, time.Duration(r.Compile).Round(time.Microsecond), r.Cases[0].Pooled.Callers)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CASE\tHOOK\tFUEL\tISOLATION\tCALL\tNEW INSTANCE\tMEMORY\tINSTANCES")
	for _, c := range r.Cases {
		for name, l := range [...]costLine{c.Pooled, c.Fresh} {
			fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%v\t%v\t%d KiB\t%d\n", c.Name, c.Hook, c.Fuel, [...]string{"pooled", "fresh"}[name],
				time.Duration(l.Call), time.Duration(l.Bind).Round(time.Microsecond), l.Memory>>10, l.Instances)
		}
	}
	return table.Flush()
}
