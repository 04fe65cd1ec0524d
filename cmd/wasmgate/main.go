package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// The whole directory, so that a fresh clone compiles before `make plugins`.
//
//go:embed builtin
var embedded embed.FS

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs one command line and gives the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	a := &app{file: "wasmgate.yaml", set: settings{}, output: "text"}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	switch {
	case err == nil:
		return 0
	case a.started:
		a.fail(err, stdout, stderr)
		return 1
	}
	fmt.Fprintf(stderr, "%v\nwasmgate --help tells how it is used\n", err)
	return 2
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "wasmgate",
		Short:         "API gateway whose policies are WebAssembly",
		SilenceErrors: true,
		SilenceUsage:  true,
		// Flags and arguments are checked before this runs: an error before it is a usage error.
		PersistentPreRun: func(*cobra.Command, []string) { a.started = true },
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&a.file, "config", "c", a.file, "process file")
	flags.Var(a.set, "set", "override one `key=value` of the process file, as in listen.https=127.0.0.1:8444")
	flags.VarP(&a.output, "output", "o", "text or json")
	root.AddCommand(a.run(), a.validate(), a.status(), a.reload(), a.schema(), a.version(), a.plugin(), a.audit())
	return root
}
