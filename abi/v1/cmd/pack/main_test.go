package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// guest is a module that exports marker, memory, scratch and wg_guard; the three
// functions share one type and body, which Inspect does not look at.
var guest = func() []byte {
	section := func(id byte, body string) string { return string([]byte{id, byte(len(body))}) + body }
	name := func(s string) string { return string([]byte{byte(len(s))}) + s }
	return []byte("\x00asm\x01\x00\x00\x00" +
		section(1, "\x01\x60\x00\x00") + section(3, "\x01\x00") + section(5, "\x01\x00\x01") +
		section(7, "\x04"+name("wg_abi_v1")+"\x00\x00"+name("memory")+"\x02\x00"+name("wg_scratch")+"\x00\x00"+name("wg_guard")+"\x00\x00") +
		section(10, "\x01\x02\x00\x0b"))
}()

const manifest = `{
  "id": "bouncer", "version": "1.0.0", "abi": 1,
  "hooks": {"guard": {"fields": ["source_ip"]}}
}
`

func TestPack(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	in, good := file("in.wasm", string(guest)), file("m.json", manifest)
	schema := file("s.json", `{"type": "object"}`)
	for _, test := range []struct {
		name, want string
		args       []string
	}{
		{"good", "", []string{"-manifest", good, "-schema", schema, in}},
		{"packed again", "", []string{"-manifest", good, "-schema", schema, filepath.Join(dir, "good.wasm")}},
		{"no manifest", "want -manifest", []string{in}},
		{"schema twice", "config_schema already", []string{"-schema", schema, "-manifest",
			file("twice.json", strings.Replace(manifest, `"abi"`, `"config_schema": {}, "abi"`, 1)), in}},
		{"hook not exported", `hook throttle: exported as "wg_throttle": false, listed in the manifest: true`,
			[]string{"-manifest", file("more.json", strings.Replace(manifest, `"guard"`, `"throttle": {}, "guard"`, 1)), in}},
		{"hook not listed", `hook guard: exported as "wg_guard": true, listed in the manifest: false`,
			[]string{"-manifest", file("less.json", `{"id": "x", "version": "1", "abi": 1}`), in}},
		{"capability not imported", `asks for "wasmgate.kv.v1", which it does not import`, []string{"-manifest",
			file("kv.json", strings.Replace(manifest, `"abi"`, `"wants": [{"capability": "wasmgate.kv.v1", "reason": "r"}], "abi"`, 1)), in}},
		{"no module", "not a Wasm module", []string{"-manifest", good, good}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(dir, test.name+".wasm")
			err := run(append([]string{"-o", out}, test.args...), io.Discard)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %q", err, test.want)
				}
				if _, err := os.Stat(out); err == nil {
					t.Error("a module was written")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			packed, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			m, found, err := abi.ReadManifest(packed)
			if err != nil || !found || m.ID != "bouncer" || string(m.ConfigSchema) != `{"type":"object"}` {
				t.Errorf("manifest %+v, found %t, error %v", m, found, err)
			}
			if n := bytes.Count(packed, []byte(abi.ManifestSection)); n != 1 {
				t.Errorf("%d manifest sections, want 1", n)
			}
			if !bytes.HasPrefix(packed, guest) {
				t.Error("the module's other sections changed")
			}
		})
	}
}

// What compilers leave for debuggers is left out; function names are not.
func TestPackLeavesDebugOut(t *testing.T) {
	custom := func(name string) string {
		body := string([]byte{byte(len(name))}) + name + "content"
		return string([]byte{0, byte(len(body))}) + body
	}
	packed, err := abi.Pack([]byte(string(guest)+custom(".debug_info")+custom("name")+custom("sourceMappingURL")), []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(packed, []byte(string(guest)+custom("name"))) || bytes.Contains(packed, []byte("debug")) || bytes.Contains(packed, []byte("sourceMapping")) {
		t.Errorf("got %q", packed)
	}
	if _, err := abi.Pack([]byte("text"), []byte(manifest)); err == nil || !strings.Contains(err.Error(), "not a Wasm module") {
		t.Errorf("got %v", err)
	}
}
