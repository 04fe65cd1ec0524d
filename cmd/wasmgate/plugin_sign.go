package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

func (a *app) pluginSign() *cobra.Command {
	var key, passwordFile string
	cmd := &cobra.Command{
		Use:   "sign FILE...",
		Short: "Sign modules: FILE.minisig, which minisign verifies too",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := os.ReadFile(key)
			if err != nil {
				return fmt.Errorf("read secret key: %w", err)
			}
			password := ""
			if host.IsProtectedKey(file) {
				if password, err = readPassword(cmd, passwordFile, false); err != nil {
					return err
				}
			}
			var all []*host.Signed
			for _, name := range args {
				module, err := os.ReadFile(name)
				if err != nil {
					return fmt.Errorf("sign: %w", err)
				}
				text, signed, err := host.SignPlugin(module, host.Signing{Key: file, Password: password, File: filepath.Base(name), Now: time.Now()})
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if err := os.WriteFile(name+host.SignatureSuffix, text, 0o644); err != nil {
					return fmt.Errorf("sign: %w", err)
				}
				all = append(all, signed)
			}
			return a.print(cmd.OutOrStdout(), map[string]any{"signed": all}, func(w io.Writer) error {
				for i, s := range all {
					fmt.Fprintf(w, "%s%s: signed by key %s%s\n", args[i], host.SignatureSuffix, s.KeyID, saying(s))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "`file` of the secret key")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "`file` with the key's password; else "+passwordVariable+", else the terminal")
	_ = cmd.MarkFlagRequired("key") // there is such a flag
	return cmd
}

// saying is what a signature says of its module.
func saying(s *host.Signed) (text string) {
	if s.ID != "" {
		text += " as " + s.ID
	}
	if s.Version != "" {
		text += " " + s.Version
	}
	if !s.Time.IsZero() {
		text += " on " + s.Time.Format(time.RFC3339)
	}
	return text
}
