// Command archive packs the SDKs for wasmgate plugin new; it runs in the project's root:
//
//	go run ./cmd/wasmgate/project/archive -o cmd/wasmgate/builtin/sdk.zip
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	"github.com/wasmgate/wasmgate/cmd/wasmgate/project"
)

func main() {
	out := flag.String("o", "", "where the archive goes")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	var b bytes.Buffer
	if err := project.WriteSDKs(&b, os.DirFS(".")); err != nil {
		return err
	}
	return os.WriteFile(out, b.Bytes(), 0o644)
}
