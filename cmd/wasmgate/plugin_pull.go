package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

func (a *app) pluginPull() *cobra.Command {
	var p host.Pull
	var to string
	cmd := &cobra.Command{
		Use:   "pull SOURCE",
		Short: "Get a module anew, and let the gateway have it from its next reload on",
		Long: `Get a module anew, hold it against the rules of the process file, and make it what SOURCE is for
policies that name it, from the gateway's next reload on. Without this a tag that moved is not
followed. With --to the module is only written to a file, with its signature, and nobody vouches for it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Source = args[0]
			if to != "" {
				return a.pullTo(cmd, p, to)
			}
			config, err := a.load()
			if err != nil {
				return err
			}
			one, err := host.PullPlugin(cmd.Context(), config, p)
			if err != nil {
				return err
			}
			return a.print(cmd.OutOrStdout(), one, func(w io.Writer) error {
				signer := "unsigned, which the rules allow"
				if one.Signed != nil {
					signer = "signed by key " + one.Signed.KeyID + saying(one.Signed)
				}
				fmt.Fprintf(w, "plugin %s %s, %s\n", one.ID, one.Digest, signer)
				switch one.Before {
				case "", one.Digest:
				default:
					fmt.Fprintf(w, "before: %s\n", one.Before)
				}
				_, err := fmt.Fprintln(w, "wasmgate reload makes it serve")
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&p.Digest, "digest", "", "what the module must be, `sha256:HEX`")
	flags.StringVar(&p.ID, "id", "", "what policies call a module without a manifest")
	flags.BoolVar(&p.Older, "older", false, "take a module that was signed before the one that is pinned")
	flags.StringVar(&to, "to", "", "write the module to this `file`, and change nothing else")
	cmd.MarkFlagsMutuallyExclusive("to", "older")
	return cmd
}

func (a *app) pullTo(cmd *cobra.Command, p host.Pull, to string) error {
	config, err := a.loadOrDefaults(cmd)
	if err != nil {
		return err
	}
	one, err := host.FetchPlugin(cmd.Context(), config, p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, one.Module, 0o644); err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	signature := to + host.SignatureSuffix
	if len(one.Signatures) > 0 {
		if err := os.WriteFile(signature, one.Signatures[0], 0o644); err != nil {
			return fmt.Errorf("pull: %w", err)
		}
	}
	return a.print(cmd.OutOrStdout(), one, func(w io.Writer) error {
		how := "unsigned"
		if len(one.Signatures) > 0 {
			how = "with " + signature + ", which nobody verified: wasmgate plugin verify"
		}
		_, err := fmt.Fprintf(w, "%s: plugin %s %s, %s\n", to, one.ID, one.Digest, how)
		return err
	})
}
