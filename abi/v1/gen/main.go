package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"
)

// source is abi.json.
type source struct {
	ABI             int            `json:"abi"`
	Minor           int            `json:"minor"`
	Status          string         `json:"status"`
	Magic           uint32         `json:"magic"`
	Marker          string         `json:"marker"`
	Memory          string         `json:"memory"`
	Scratch         string         `json:"scratch"`
	ManifestSection string         `json:"manifest_section"`
	Record          record         `json:"record"`
	Limits          limits         `json:"limits"`
	Types           []named        `json:"types"`
	Hooks           []hook         `json:"hooks"`
	RequestFields   []field        `json:"request_fields"`
	ResultFields    []field        `json:"result_fields"`
	Decisions       []named        `json:"decisions"`
	Scopes          []named        `json:"scopes"`
	EditOps         []named        `json:"edit_ops"`
	CallFlags       []named        `json:"call_flags"`
	Selectors       []selector     `json:"selectors"`
	BodyModes       []named        `json:"body_modes"`
	Statuses        []named        `json:"statuses"`
	Capabilities    []capabilities `json:"capabilities"`
}

type record struct {
	Version        int      `json:"version"`
	HeaderBytes    int      `json:"header_bytes"`
	EntryBytes     int      `json:"entry_bytes"`
	CapabilityHook int      `json:"capability_hook"`
	Header         []member `json:"header"`
	Entry          []member `json:"entry"`
}

type member struct {
	Offset int    `json:"offset"`
	Type   string `json:"type"`
	Name   string `json:"name"`
	Doc    string `json:"doc"`
}

type named struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

type hook struct {
	named
	Export     string `json:"export"`
	DenyStatus int    `json:"deny_status"`
}

// field is a request or result field; nil Hooks means every hook but configure.
type field struct {
	named
	Type  string   `json:"type"`
	Hooks []string `json:"hooks"`
}

type selector struct {
	Name string `json:"name"`
	Arg  bool   `json:"arg"`
	Doc  string `json:"doc"`
}

type capabilities struct {
	Module  string   `json:"module"`
	Name    string   `json:"name"`
	Params  []string `json:"params"`
	Results []string `json:"results"`
	Grant   string   `json:"grant"`
	Args    []string `json:"args"`
	Power   string   `json:"power"`
	Doc     string   `json:"doc"`
}

// limits keeps the order of the file.
type limits []limit

type limit struct {
	Name  string
	Value int64
}

func (l *limits) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var v int64
		if err := d.Decode(&v); err != nil {
			return err
		}
		*l = append(*l, limit{name.(string), v})
	}
	return nil
}

func main() {
	files, err := generate(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
	for path, content := range files {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
	}
}

// generate gives the content of every generated file; dir is the folder of abi.json.
func generate(dir string) (map[string][]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, "abi.json"))
	if err != nil {
		return nil, err
	}
	var s source
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("read abi.json: %w", err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("check abi.json: %w", err)
	}
	files := map[string][]byte{}
	for path, code := range map[string]string{
		filepath.Join(dir, "abi_gen.go"):                                          s.hostCode(),
		filepath.Join(dir, "..", "..", "sdk", "go", "internal", "wire", "gen.go"): s.sdkCode(),
	} {
		formatted, err := format.Source([]byte(code))
		if err != nil {
			return nil, fmt.Errorf("format %s: %w", path, err)
		}
		files[path] = formatted
	}
	sdk := filepath.Join(dir, "..", "..", "sdk")
	files[filepath.Join(sdk, "rust", "src", "abi.rs")] = []byte(s.rustCode())
	files[filepath.Join(sdk, "c", "wasmgate_abi.h")] = []byte(s.cCode())
	files[filepath.Join(sdk, "assemblyscript", "assembly", "abi.ts")] = []byte(s.assemblyScriptCode())
	files[filepath.Join(sdk, "zig", "src", "abi.zig")] = []byte(s.zigCode())
	readme := filepath.Join(dir, "README.md")
	old, err := os.ReadFile(readme)
	if err != nil {
		return nil, err
	}
	files[readme], err = replaceTables(old, s.tables())
	return files, err
}

// check refuses what the encoders could not hold.
func (s *source) check() error {
	types, hooks := map[string]bool{}, map[string]bool{}
	for _, t := range s.Types {
		types[t.Name] = true
	}
	for _, h := range s.Hooks {
		hooks[h.Name] = true
	}
	for _, fields := range [][]field{s.RequestFields, s.ResultFields} {
		last := 0
		for _, f := range fields {
			if f.ID <= last || f.ID > 63 {
				return fmt.Errorf("field %q has id %d: want ascending, at most 63", f.Name, f.ID)
			}
			if last = f.ID; !types[f.Type] {
				return fmt.Errorf("field %q has unknown type %q", f.Name, f.Type)
			}
			for _, h := range f.Hooks {
				if !hooks[h] {
					return fmt.Errorf("field %q names unknown hook %q", f.Name, h)
				}
			}
		}
	}
	return nil
}

// camel turns set_raw_query into SetRawQuery, with Go's spelling of initialisms.
func camel(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "_") {
		switch part {
		case "id", "ip", "kv", "jwks", "tls", "http", "api", "url", "ttl", "ms", "us", "ok":
			b.WriteString(strings.ToUpper(part))
		default:
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}
