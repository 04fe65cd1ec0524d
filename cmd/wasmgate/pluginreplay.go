package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

func (a *app) pluginReplay() *cobra.Command {
	var options host.ReplayOptions
	cmd := &cobra.Command{
		Use:   "replay RECORDING.json | DIR ...",
		Short: "Run again what policies with record wrote, and compare result and fuel",
		Long: "Run recordings again on the module that they were made with, which is found by its digest: a\n" +
			"built-in plugin, one of plugins.dir or of data_dir, or the file that --module names. The same\n" +
			"module gives the same result and the same fuel on every machine; what differs is told field\n" +
			"by field. With --module FILE --another another version runs on recorded traffic: fuel, log\n" +
			"and host calls may differ then, decisions count. The exit status is 1 when any recording\n" +
			"changed, trapped or was refused.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if options.Another && options.Module == "" {
				return fmt.Errorf("--another without --module, want the version to try")
			}
			var err error
			if options.Builtins, err = builtinPlugins(); err != nil {
				return err
			}
			if options.Config, err = a.load(); err != nil {
				return err
			}
			options.Paths = args
			all, err := host.Replay(cmd.Context(), options)
			if err != nil {
				return err
			}
			counts := map[string]int{host.ReplaySame: 0, host.ReplayChanged: 0, host.ReplayTrapped: 0, host.ReplayRefused: 0}
			for _, one := range all {
				counts[one.Outcome]++
			}
			report := map[string]any{"ok": counts[host.ReplaySame] == len(all), "recordings": all}
			for outcome, n := range counts {
				report[outcome] = n
			}
			if err := a.print(cmd.OutOrStdout(), report, func(w io.Writer) error { return writeReplayed(w, all, counts) }); err != nil {
				return err
			}
			if counts[host.ReplaySame] < len(all) {
				return errReported
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&options.Module, "module", "", "`file` of the module to run")
	cmd.Flags().BoolVar(&options.Another, "another", false, "let --module be another than the recorded one")
	return cmd
}

// writeReplayed tells of each recording that is not the same, of a single one always, and
// counts.
func writeReplayed(w io.Writer, all []host.Replayed, counts map[string]int) error {
	for _, one := range all {
		if one.Outcome == host.ReplaySame && len(one.Differences)+len(one.Unseen) == 0 && len(all) > 1 {
			continue
		}
		fmt.Fprintf(w, "%s: %s of %s: %s, fuel %d\n", one.File, one.Hook, one.Plugin, one.Outcome, one.Fuel.Got)
		for _, d := range one.Differences {
			fmt.Fprintf(w, "  %s: got %s, want %s\n", d.Field, d.Got, d.Want)
		}
		if len(one.Unseen) > 0 {
			fmt.Fprintf(w, "  not recorded, and asked for by this version: %s\n", strings.Join(one.Unseen, ", "))
		}
		if len(one.Stack) > 0 {
			fmt.Fprintf(w, "  stack: %s\n", strings.Join(one.Stack, ", called by "))
		}
	}
	_, err := fmt.Fprintf(w, "%d same, %d changed, %d trapped, %d refused\n",
		counts[host.ReplaySame], counts[host.ReplayChanged], counts[host.ReplayTrapped], counts[host.ReplayRefused])
	return err
}
