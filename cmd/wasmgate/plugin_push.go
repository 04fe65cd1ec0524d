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

func (a *app) pluginPush() *cobra.Command {
	var layout string
	cmd := &cobra.Command{
		Use:   "push FILE oci://REGISTRY/REPOSITORY:TAG",
		Short: "Send a module, and its signature where there is one, to an OCI registry",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := a.loadOrDefaults(cmd)
			if err != nil {
				return err
			}
			module, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("push: %w", err)
			}
			signature, err := readSignature(args[0] + host.SignatureSuffix)
			if err != nil {
				return fmt.Errorf("push: %w", err)
			}
			name := strings.TrimSuffix(filepath.Base(args[0]), ".wasm")
			manifest, err := host.PushPlugin(cmd.Context(), config, args[1], layout, module, signature, name)
			if err != nil {
				return err
			}
			exact := pinned(args[1], manifest)
			return a.print(cmd.OutOrStdout(), map[string]any{"source": exact, "manifest": manifest, "signed": signature != nil}, func(w io.Writer) error {
				how := "signed"
				if signature == nil {
					how = "unsigned: there is no " + args[0] + host.SignatureSuffix
				}
				_, err := fmt.Fprintf(w, "%s\n%s\n", exact, how)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&layout, "layout", "artifact", "`form` in the registry: artifact, or image, which docker and podman can move")
	return cmd
}

// pinned is the source of exactly one manifest behind a tag.
func pinned(tag, manifest string) string {
	if i := strings.LastIndexByte(tag, ':'); i > strings.LastIndexByte(tag, '/') {
		tag = tag[:i]
	}
	return tag + "@" + manifest
}

// loadOrDefaults is the process file, or the defaults where nobody named one and there is
// none: who ships plugins need not run a gateway.
func (a *app) loadOrDefaults(cmd *cobra.Command) (*host.Config, error) {
	if _, err := os.Stat(a.file); errors.Is(err, fs.ErrNotExist) && !cmd.Flags().Changed("config") {
		a.file = ""
	}
	return a.load()
}
