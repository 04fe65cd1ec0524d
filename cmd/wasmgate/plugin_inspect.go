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

// maxInspected is the longest file that is read: four times what a gateway takes unless told.
const maxInspected = 128 << 20

func (a *app) pluginInspect() *cobra.Command {
	i := inspection{}
	cmd := &cobra.Command{
		Use:   "inspect FILE.wasm",
		Short: "Tell all that a plugin can do, in plain words",
		Long: `Tell all that a plugin can do outside its own memory, what it decides and is shown for that, its
size, limits and signature, and whether the gateway takes it. Its cases are run: those of --cases, or
testdata/*.json beside it. With --diff, what another version could not do comes after that.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.inspect(cmd, args[0], i) },
	}
	cmd.Flags().StringSliceVar(&i.cases.files, "cases", nil, "case `files`, patterns too")
	cmd.Flags().StringSliceVar(&i.keys, "key", nil, "public `keys`, files or lines of base64, to verify the signature with")
	cmd.Flags().StringVar(&i.old, "diff", "", "an older version's `file` to compare with")
	cmd.Flags().BoolVar(&i.strict, "fail-on-new-powers", false, "exit 1 when the older version could not do all that this one can")
	return cmd
}

type inspection struct {
	cases  caseFlags
	keys   []string
	old    string
	strict bool
}

func (a *app) inspect(cmd *cobra.Command, file string, i inspection) error {
	if i.strict && i.old == "" {
		return errors.New("--fail-on-new-powers: it wants --diff, the version to compare with")
	}
	page, err := i.page(cmd, file)
	if err != nil {
		return err
	}
	result := struct {
		File string `json:"file"`
		*host.PluginPage
		Diff *host.PluginDiff `json:"diff,omitempty"`
	}{File: file, PluginPage: page}
	if i.old != "" {
		old, err := i.page(cmd, i.old)
		if err != nil {
			return err
		}
		result.Diff = host.ComparePlugins(old, page)
	}
	err = a.print(cmd.OutOrStdout(), result, func(w io.Writer) error { return host.WritePage(w, file, page, result.Diff) })
	if err == nil && i.strict && len(result.Diff.NewPowers) > 0 {
		return errReported
	}
	return err
}

func (i *inspection) page(cmd *cobra.Command, file string) (*host.PluginPage, error) {
	wasm, err := readAtMost(file, maxInspected)
	if err != nil {
		return nil, fmt.Errorf("inspect: %w", err)
	}
	o := host.InspectOptions{ID: strings.TrimSuffix(filepath.Base(file), ".wasm"), Wasm: wasm, SignatureFile: file + host.SignatureSuffix, Keys: keyTexts(i.keys)}
	if o.Signature, err = readAtMost(o.SignatureFile, 1<<20); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("inspect: %w", err)
	}
	beside, err := filepath.Glob(filepath.Join(filepath.Dir(file), "testdata", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("inspect: %w", err)
	}
	patterns := i.cases.files
	if len(patterns) == 0 {
		patterns = beside
	}
	if len(patterns) > 0 {
		cases, err := i.cases.load(patterns)
		if err != nil {
			return nil, err
		}
		for _, c := range cases {
			o.Cases = append(o.Cases, host.InspectCase{File: c.file, Case: c.Case})
		}
	}
	return host.InspectPlugin(cmd.Context(), o)
}

func readAtMost(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", file, most)
	}
	return data, err
}
