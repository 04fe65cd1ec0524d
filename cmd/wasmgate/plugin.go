package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

func (a *app) plugin() *cobra.Command {
	group := &cobra.Command{
		Use:   "plugin",
		Short: "Work with plugins",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(a.pluginNew(), a.pluginBuild(), a.pluginTest(), a.pluginBench(), a.pluginReplay())
	group.AddCommand(a.pluginKeygen(), a.pluginSign(), a.pluginVerify(), a.pluginPush(), a.pluginPull(), a.pluginPins())
	group.AddCommand(a.pluginList(), a.pluginInspect(), a.pluginRollout(), a.pluginPromote(), a.pluginRollback(), a.pluginStatus())
	return group
}

// pluginInfo is one line of plugin list. ID is the file's name, Version what the module
// says of itself, Imports all that it can do.
type pluginInfo struct {
	ID      string   `json:"id"`
	Version string   `json:"version,omitempty"`
	Hooks   []string `json:"hooks"`
	Imports []string `json:"imports"`          // capabilities
	ABI     string   `json:"abi,omitempty"`    // of another project
	Powers  []string `json:"powers,omitempty"` // what its imports let it do, of another project's
	Source  string   `json:"source"`           // "built-in" or the file
	Size    int      `json:"size"`
	SHA256  string   `json:"sha256"`
	Error   string   `json:"error,omitempty"` // why it is no plugin
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
				fmt.Fprintln(table, "ID\tVERSION\tHOOKS\tCAPABILITIES\tSHA-256\tSOURCE")
				for _, p := range plugins {
					if p.Error != "" {
						fmt.Fprintf(table, "%s\t%s\t\t\t%.12s\t%s\n", p.ID, strings.ReplaceAll(p.Error, "\n", "; "), p.SHA256, p.Source)
						continue
					}
					if p.ABI != "" { // its imports are named as it pleases others: the powers say it
						fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.12s\t%s\n", p.ID, "", p.ABI, strings.Join(p.Powers, "; "), p.SHA256, p.Source)
						continue
					}
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.12s\t%s\n", p.ID, p.Version,
						strings.Join(p.Hooks, ","), strings.Join(p.Imports, ","), p.SHA256, p.Source)
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
	files, err := pluginsIn(os.DirFS(dir), func(name string) string { return config.Scrub(filepath.Join(dir, name)) })
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
		wasm, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("list plugins: %w", err)
		}
		info := describe(strings.TrimSuffix(path.Base(name), ".wasm"), wasm)
		info.Source = source(name)
		plugins = append(plugins, info)
	}
	return plugins, nil
}

// describe reads what a module shows without running it.
func describe(name string, wasm []byte) pluginInfo {
	page := host.ReadPlugin(wasm)
	info := pluginInfo{ID: name, Hooks: []string{}, Imports: []string{}, Size: page.Size, Error: page.Refused,
		SHA256: strings.TrimPrefix(page.Digest, "sha256:")}
	for _, h := range page.Hooks {
		info.Hooks = append(info.Hooks, h.Hook)
	}
	if page.Manifest != nil {
		info.Version = page.Manifest.Version
	}
	foreign := !strings.HasPrefix(page.ABI, "wasmgate ")
	for _, p := range page.Powers {
		for _, name := range p.Imports {
			if !foreign {
				name, _, _ = strings.Cut(name, " ") // the capability's module
			}
			if !slices.Contains(info.Imports, name) {
				info.Imports = append(info.Imports, name)
			}
		}
		if foreign {
			info.Powers = append(info.Powers, p.Power)
		}
	}
	if foreign {
		info.ABI = page.ABI
	}
	return info
}
