// Command wasmgate runs the gateway and talks to a running one.
//
// Every subcommand is one file here and takes --config, --set and --output; what it does
// beyond flags and printing is package host's. Exit codes: 0 done, 1 an error, 2 a wrong
// command line. The built-in plugins are embedded from builtin/, which `make plugins` fills.
package main
