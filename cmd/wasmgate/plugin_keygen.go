package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

func (a *app) pluginKeygen() *cobra.Command {
	var passwordFile string
	var open bool
	cmd := &cobra.Command{
		Use:   "keygen NAME",
		Short: "Make a pair of signing keys: NAME.key for the signer alone, NAME.pub for plugins.signers",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, public := args[0]+".key", args[0]+".pub"
			for _, name := range []string{secret, public} { // before a password is typed
				if _, err := os.Lstat(name); err == nil {
					return fmt.Errorf("make keys: %s is there already", name)
				}
			}
			password := ""
			if !open {
				var err error
				if password, err = readPassword(cmd, passwordFile, true); err != nil {
					return err
				}
			}
			pair, err := host.GenerateKey(password)
			if err != nil {
				return err
			}
			if err := errors.Join(create(secret, pair.Secret, 0o600), create(public, pair.Public, 0o644)); err != nil {
				return fmt.Errorf("make keys: %w", err)
			}
			return a.print(cmd.OutOrStdout(), map[string]string{"key_id": pair.ID, "secret": secret, "public": public}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "key %s: secret in %s, public in %s\n%s", pair.ID, secret, public, pair.Public)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "`file` with the password; else "+passwordVariable+", else the terminal")
	cmd.Flags().BoolVar(&open, "no-password", false, "leave the secret key open: whoever reads the file can sign")
	cmd.MarkFlagsMutuallyExclusive("password-file", "no-password")
	return cmd
}

// create writes a file that must not be there.
func create(name string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
