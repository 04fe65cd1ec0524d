package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/cmd/wasmgate/project"
)

func (a *app) pluginNew() *cobra.Command {
	var spec project.Spec
	cmd := &cobra.Command{
		Use:   "new --lang LANGUAGE --hook HOOK [ID]",
		Short: "Make a plugin's source folder",
		Long: "Make the folder ID with a plugin that decides something small in each hook: source, manifest,\n" +
			"cases and the language's SDK. ID is the first hook's name when it is left out.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				spec.ID = args[0]
			} else if len(spec.Hooks) > 0 {
				spec.ID = strings.ReplaceAll(spec.Hooks[0], "_", "-")
			}
			sdks, err := embeddedSDKs()
			if err != nil {
				return err
			}
			spec.SDKs = sdks
			folder, err := project.New(".", spec)
			if err != nil {
				return err
			}
			made := map[string]any{"id": spec.ID, "folder": folder, "language": spec.Language, "hooks": spec.Hooks}
			return a.print(cmd.OutOrStdout(), made, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is made, a plugin for %s\n\n  cd %s\n  wasmgate plugin build\n  wasmgate plugin test\n",
					folder, strings.Join(spec.Hooks, ", "), folder)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&spec.Language, "lang", "", "one of "+strings.Join(project.Languages(), ", "))
	cmd.Flags().StringSliceVar(&spec.Hooks, "hook", nil, "one or more of "+strings.Join(project.Hooks(), ", "))
	return cmd
}

// embeddedSDKs are the SDKs inside this binary, a folder for each language.
func embeddedSDKs() (fs.FS, error) {
	archive, err := fs.ReadFile(embedded, "builtin/"+project.Archive)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no SDK is inside this binary: run `make plugins` and build it again")
	}
	if err != nil {
		return nil, err
	}
	return project.ReadSDKs(archive)
}
