package abi_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
)

var update = flag.Bool("update", false, "write the bytes of vectors/requests.json and results.json anew")

// vector is one record: fields and their bytes, or bytes and why they are refused.
type vector struct {
	Name    string          `json:"name"`
	Kind    string          `json:"kind,omitempty"` // request or result, in malformed.json
	Hook    string          `json:"hook"`
	Fields  casefile.Fields `json:"fields,omitempty"`
	Hex     string          `json:"hex"`
	Refusal string          `json:"refusal,omitempty"`
}

func (v *vector) hook() abi.Hook {
	h, _ := abi.HookByName(v.Hook) // none: a capability's record
	return h
}

func readVectors(t *testing.T, path string) []vector {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	if len(list) == 0 {
		t.Fatalf("%s is empty", path)
	}
	return list
}

func TestRequestVectors(t *testing.T) {
	golden(t, "vectors/requests.json", casefile.EncodeRequest, func(b []byte, _ abi.Hook) (casefile.Fields, error) {
		r, err := abi.ParseRequest(b)
		return casefile.Decode(r), err
	})
}

func TestResultVectors(t *testing.T) {
	golden(t, "vectors/results.json", casefile.EncodeResult, func(b []byte, h abi.Hook) (casefile.Fields, error) {
		r, err := abi.ParseResult(b, h)
		return casefile.Decode(r), err
	})
}

// golden encodes the fields of each vector and decodes its bytes.
func golden(t *testing.T, path string, encode func(abi.Hook, casefile.Fields) ([]byte, error), decode func([]byte, abi.Hook) (casefile.Fields, error)) {
	list := readVectors(t, path)
	for i := range list {
		v := &list[i]
		got, err := encode(v.hook(), v.Fields)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if *update {
			v.Hex = hex.EncodeToString(got)
		}
		want, err := hex.DecodeString(v.Hex)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %s", v.Name, got, v.Hex)
			continue
		}
		fields, err := decode(want, v.hook())
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		again, err := encode(v.hook(), fields)
		if err != nil || !bytes.Equal(again, want) {
			t.Errorf("%s: decoded to %s, which gives %x, error %v", v.Name, fields, again, err)
		}
	}
	if *update {
		writeVectors(t, path, list)
	}
}

// writeVectors writes one vector a line.
func writeVectors(t *testing.T, path string, list []vector) {
	t.Helper()
	var lines [][]byte
	for _, v := range list {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, bytes.TrimSpace(b.Bytes()))
	}
	text := "[\n" + string(bytes.Join(lines, []byte(",\n"))) + "\n]\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMalformedVectors(t *testing.T) {
	for _, v := range readVectors(t, "vectors/malformed.json") {
		b, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if v.Kind == "request" {
			_, err = abi.ParseRequest(b)
		} else {
			_, err = abi.ParseResult(b, v.hook())
		}
		switch {
		case v.Refusal == "" && err != nil:
			t.Errorf("%s: %v, want accepted", v.Name, err)
		case v.Refusal != "" && (err == nil || !strings.Contains(err.Error(), v.Refusal)):
			t.Errorf("%s: error %v, want %q", v.Name, err, v.Refusal)
		}
	}
}
