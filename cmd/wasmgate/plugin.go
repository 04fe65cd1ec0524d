package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func (a *app) plugin() *cobra.Command {
	group := &cobra.Command{
		Use:   "plugin",
		Short: "Work with plugins",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(a.pluginList())
	return group
}

// pluginInfo is one line of plugin list.
type pluginInfo struct {
	ID     string `json:"id"`
	Source string `json:"source"` // "built-in" or the file
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func (a *app) pluginList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the built-in plugins and those in plugins.dir",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plugins, err := a.listPlugins()
			if err != nil {
				return err
			}
			return a.print(cmd.OutOrStdout(), map[string]any{"plugins": plugins}, func(w io.Writer) error {
				table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "ID\tSIZE\tSHA-256\tSOURCE")
				for _, p := range plugins {
					fmt.Fprintf(table, "%s\t%d\t%.12s\t%s\n", p.ID, p.Size, p.SHA256, p.Source)
				}
				return table.Flush()
			})
		},
	}
}

func (a *app) listPlugins() ([]pluginInfo, error) {
	builtins, err := builtinPlugins()
	if err != nil {
		return nil, err
	}
	config, err := a.load()
	if err != nil {
		return nil, err
	}
	builtIn, err := pluginsIn(builtins, func(string) string { return "built-in" })
	if err != nil {
		return nil, err
	}
	dir := config.Plugins.Dir
	files, err := pluginsIn(os.DirFS(dir), func(name string) string { return filepath.Join(dir, name) })
	return append(builtIn, files...), err
}

// pluginsIn describes the *.wasm files of fsys, sorted by name; a missing directory is empty.
func pluginsIn(fsys fs.FS, source func(name string) string) ([]pluginInfo, error) {
	names, err := fs.Glob(fsys, "*.wasm")
	if err != nil {
		return nil, fmt.Errorf("list plugins: %w", err)
	}
	plugins := make([]pluginInfo, 0, len(names))
	for _, name := range names {
		info, err := describe(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("list plugins: %w", err)
		}
		info.Source = source(name)
		plugins = append(plugins, info)
	}
	return plugins, nil
}

func describe(fsys fs.FS, name string) (pluginInfo, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return pluginInfo{}, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	return pluginInfo{ID: pluginID(name), Size: size, SHA256: hex.EncodeToString(hash.Sum(nil))}, err
}
