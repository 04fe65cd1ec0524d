package main

import (
	"bytes"
	"os"
	"testing"
)

func TestGeneratedFilesAreCurrent(t *testing.T) {
	files, err := generate("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 7 {
		t.Errorf("%d files, want 7", len(files))
	}
	for path, want := range files {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what abi.json says: run go generate ./abi/v1", path)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	of := func(id int, typ string, hooks ...string) field { return field{named{id, "f", ""}, typ, hooks} }
	for name, fields := range map[string][]field{
		"descending":   {of(2, "bytes"), of(1, "bytes")},
		"twice":        {of(2, "bytes"), of(2, "bytes")},
		"over 63":      {of(64, "bytes")},
		"unknown type": {of(1, "f32")},
		"unknown hook": {of(1, "bytes", "gard")},
	} {
		s := source{Types: []named{{1, "bytes", ""}}, Hooks: []hook{{named: named{1, "guard", ""}}}, RequestFields: fields}
		if s.check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTablesNeedTheirMarkers(t *testing.T) {
	readme := []byte("a\n<!-- gen:x -->\nold\n<!-- /gen:x -->\nb\n")
	got, err := replaceTables(readme, map[string]string{"x": "new\n"})
	if want := "a\n<!-- gen:x -->\nnew\n<!-- /gen:x -->\nb\n"; err != nil || string(got) != want {
		t.Errorf("got %q, error %v, want %q", got, err, want)
	}
	if _, err := replaceTables(readme, map[string]string{"y": ""}); err == nil {
		t.Error("a table without markers was accepted")
	}
}
