package casetest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/sdk/go"
)

// Run runs every case of testdata/*.json in the plugin's folder, each with the fields
// that manifest.json asks for and no others.
func Run(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := abi.ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	for _, file := range files {
		cases, err := casefile.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			t.Run(filepath.Base(file)+"/"+c.Name, func(t *testing.T) {
				wasmgate.SetNative(c.Host)
				var mask *abi.Mask
				if m, ok := manifest.Hooks[c.Hook]; ok {
					mask = &m
				}
				if err := c.Run(guest{}, mask); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

type guest struct{}

func (guest) Call(hook abi.Hook, record []byte) (result []byte, fuel uint64, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return wasmgate.Call(uint16(hook), record), 0, nil
}
