package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

func (a *app) validate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Load the process file, the APIs and the plugins as run does, and tell every error",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := a.options(cmd)
			if err != nil {
				return err
			}
			report, err := host.Validate(cmd.Context(), options)
			if err != nil {
				return err
			}
			result := map[string]any{
				"ok": true, "warnings": append([]string{}, report.Warnings...),
				"apis": report.APIs, "routes": report.Routes, "policies": report.Policies,
			}
			return a.print(cmd.OutOrStdout(), result, func(w io.Writer) error {
				for _, warning := range report.Warnings {
					fmt.Fprintln(w, "warning:", warning)
				}
				_, err := fmt.Fprintf(w, "%s is valid: APIs %d, routes %d, policies %d\n",
					a.file, report.APIs, report.Routes, report.Policies)
				return err
			})
		},
	}
}
