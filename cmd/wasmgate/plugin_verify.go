package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

func (a *app) pluginVerify() *cobra.Command {
	var keys []string
	var id string
	cmd := &cobra.Command{
		Use:   "verify FILE|SOURCE",
		Short: "Tell whether a module's signature is good: by --key, or by the rules of the process file",
		Long: `Tell whether a module's signature is good: by --key, or by the rules of the process file, as a
gateway would that loads it. FILE has its signature in FILE.minisig; SOURCE is file:, https:// or
oci:// as in policies.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(keys) > 0 {
				signed, err := verifyFile(args[0], keys)
				if err != nil {
					return err
				}
				return a.print(cmd.OutOrStdout(), signed, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s: signed by key %s%s\n", args[0], signed.KeyID, saying(signed))
					return err
				})
			}
			config, err := a.load()
			if err != nil {
				return err
			}
			source := args[0]
			if !strings.Contains(source, ":") {
				if id == "" {
					id = strings.TrimSuffix(filepath.Base(source), ".wasm")
				}
				source = "file:" + source
			}
			one, err := host.CheckPlugin(cmd.Context(), config, host.Pull{Source: source, ID: id})
			if err != nil {
				return err
			}
			return a.print(cmd.OutOrStdout(), one, func(w io.Writer) error {
				if one.Signed == nil {
					_, err := fmt.Fprintf(w, "%s: plugin %s %s, unsigned, which the rules allow\n", args[0], one.ID, one.Digest)
					return err
				}
				_, err := fmt.Fprintf(w, "%s: plugin %s %s, signed by key %s%s (%s)\n", args[0], one.ID, one.Digest, one.Signed.KeyID, saying(one.Signed), one.Signed.Rule)
				return err
			})
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public `key`, a file or its text; repeat it for several, of which one must do")
	cmd.Flags().StringVar(&id, "id", "", "what policies call a module without a manifest")
	return cmd
}

// verifyFile verifies a file with the signature beside it.
// keyTexts reads those of keys that are files.
func keyTexts(keys []string) []string {
	texts := make([]string, len(keys))
	for i, key := range keys {
		if data, err := os.ReadFile(key); err == nil {
			key = string(data)
		}
		texts[i] = key
	}
	return texts
}

func verifyFile(name string, keys []string) (*host.Signed, error) {
	module, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	text, err := readSignature(name + host.SignatureSuffix)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	signed, err := host.VerifyPlugin(module, text, keyTexts(keys))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return signed, nil
}

// readSignature is a signature file; nil when there is none.
func readSignature(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}
