package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/cmd/wasmgate/project"
)

func (a *app) pluginBuild() *cobra.Command {
	return &cobra.Command{
		Use:   "build [DIR]",
		Short: "Compile a plugin's source folder to ID.wasm",
		Long: "Compile the plugin in DIR, or here, with its language's toolchain, put its manifest in, and\n" +
			"check the module as the gateway does at load.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := project.Open(cmp.Or(strings.Join(args, ""), "."))
			if err != nil {
				return err
			}
			wasm, err := p.Build(cmd.Context())
			if err != nil {
				return err
			}
			bench, err := openBench(cmd.Context(), p.Manifest.ID, wasm)
			if err != nil {
				return err
			}
			if err := bench.Close(cmd.Context()); err != nil {
				return err
			}
			if err := p.Write(wasm); err != nil {
				return err
			}
			info := describe(p.Manifest.ID, wasm)
			info.Source = p.File()
			return a.print(cmd.OutOrStdout(), info, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s  %d bytes\nsha256        %s\nhooks         %s\ncapabilities  %s\n", info.Source, info.Size, info.SHA256,
					strings.Join(info.Hooks, ", "), cmp.Or(strings.Join(info.Imports, ", "), "none"))
				return err
			})
		},
	}
}
