package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

// app is what the subcommands share: the flags that each of them takes.
type app struct {
	file    string
	set     settings
	output  format
	started bool // the command line was right
}

// settings is the value of --set.
type settings map[string]string

// String is empty: there is no default to show.
func (s settings) String() string { return "" }

// Type is what the help shows for the value.
func (s settings) Type() string { return "key=value" }

// Set takes one key=value. The value may hold commas and equals signs.
func (s settings) Set(arg string) error {
	key, value, ok := strings.Cut(arg, "=")
	if !ok || key == "" {
		return fmt.Errorf("got %q, want key=value", arg)
	}
	s[key] = value
	return nil
}

// format is the value of --output.
type format string

// String is the format's name.
func (f *format) String() string { return string(*f) }

// Type is what the help shows for the value.
func (f *format) Type() string { return "format" }

// Set takes text or json.
func (f *format) Set(arg string) error {
	if arg != "text" && arg != "json" {
		return fmt.Errorf("got %q, want text or json", arg)
	}
	*f = format(arg)
	return nil
}

// load reads the process file with environment and --set over it.
func (a *app) load() (*host.Config, error) {
	return host.Load(a.sources())
}

func (a *app) sources() host.LoadOptions {
	return host.LoadOptions{File: a.file, Set: a.set, Environ: os.Environ()}
}

// options is the host that run and validate make.
func (a *app) options(cmd *cobra.Command) (host.Options, error) {
	builtins, err := builtinPlugins()
	if err != nil {
		return host.Options{}, err
	}
	config, err := a.load()
	return host.Options{Config: config, Builtins: builtins, Stdout: cmd.OutOrStdout(),
		Stderr: cmd.ErrOrStderr(), Version: readVersion().Version}, err
}

// builtinPlugins is the embedded plugins as <id>.wasm.
func builtinPlugins() (fs.FS, error) {
	builtins, err := fs.Sub(embedded, "builtin")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(builtins, "*.wasm")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("no built-in plugin is inside this binary: run `make plugins` and build it again")
	}
	return builtins, nil
}

// print writes value as JSON, or what text writes.
func (a *app) print(w io.Writer, value any, text func(io.Writer) error) error {
	if a.output != "json" {
		return text(w)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// errReported is the error of a command that has already told what is wrong.
var errReported = errors.New("reported")

// fail reports err: problems of the configuration line by line, as editors and CI take
// them; with --output json on stdout.
func (a *app) fail(err error, stdout, stderr io.Writer) {
	if errors.Is(err, errReported) {
		return
	}
	var problems *host.ConfigErrors
	isConfig := errors.As(err, &problems)
	if a.output == "json" {
		report := map[string]any{"ok": false, "error": err.Error()}
		if isConfig {
			report = map[string]any{"ok": false, "problems": json.RawMessage(problems.JSON())}
		}
		if a.print(stdout, report, nil) == nil {
			return
		}
	}
	if isConfig {
		fmt.Fprintln(stderr, problems)
		return
	}
	fmt.Fprintln(stderr, "wasmgate:", err)
}
