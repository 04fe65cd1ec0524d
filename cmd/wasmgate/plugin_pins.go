package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

func (a *app) pluginPins() *cobra.Command {
	var forget []string
	cmd := &cobra.Command{
		Use:   "pins",
		Short: "List what remote sources are taken for, or forget some of it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := a.load()
			if err != nil {
				return err
			}
			for _, source := range forget {
				if err := host.ForgetPin(config, source); err != nil {
					return err
				}
			}
			pins, err := host.Pins(config)
			if err != nil {
				return err
			}
			return a.print(cmd.OutOrStdout(), map[string]any{"pins": append([]host.Pin{}, pins...)}, func(w io.Writer) error {
				table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "SOURCE\tSHA-256\tPULLED")
				for _, p := range pins {
					fmt.Fprintf(table, "%s\t%s\t%s\n", p.Source, p.Digest, p.Pulled.Format(time.RFC3339))
				}
				return table.Flush()
			})
		},
	}
	cmd.Flags().StringArrayVar(&forget, "forget", nil, "`source` that is asked again at the next reload; repeat it for several")
	return cmd
}
