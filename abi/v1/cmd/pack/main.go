package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(args []string, usage io.Writer) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	flags.SetOutput(usage)
	manifestPath := flags.String("manifest", "", "the manifest, JSON")
	schemaPath := flags.String("schema", "", "JSON Schema of the plugin's config, for the manifest's config_schema")
	outPath := flags.String("o", "", "where the packed module goes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *manifestPath == "" || *outPath == "" || flags.NArg() != 1 {
		flags.Usage()
		return errors.New("want -manifest, -o and one module")
	}
	manifest, err := os.ReadFile(*manifestPath)
	if err != nil {
		return err
	}
	if *schemaPath != "" {
		schema, err := os.ReadFile(*schemaPath)
		if err != nil {
			return err
		}
		if manifest, err = embed(manifest, schema); err != nil {
			return fmt.Errorf("embed %s in %s: %w", *schemaPath, *manifestPath, err)
		}
	}
	wasm, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return err
	}
	packed, err := abi.Pack(wasm, manifest)
	if err != nil {
		return err
	}
	return write(*outPath, packed)
}

// embed adds config_schema to a manifest that has none, at its end.
func embed(manifest, schema []byte) ([]byte, error) {
	if m, err := abi.ParseManifest(manifest); err != nil {
		return nil, err
	} else if m.ConfigSchema != nil {
		return nil, errors.New("the manifest has a config_schema already")
	}
	var small bytes.Buffer
	if err := json.Compact(&small, schema); err != nil {
		return nil, err
	}
	head := bytes.TrimSuffix(bytes.TrimSpace(manifest), []byte("}"))
	return fmt.Appendf(nil, `%s, "config_schema": %s}`, bytes.TrimSpace(head), small.Bytes()), nil
}

// write replaces path at once: a gateway may be watching it.
func write(path string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".pack-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}
