package main

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wasmgate/wasmgate/abi/conformance"
)

// The commands of the two pages about conformance, as they stand there.
var command = regexp.MustCompile(`(?m)^\s*go (run|test|generate) .*$`)

func TestCommandsOfThePages(t *testing.T) {
	host := httptest.NewServer(nil) // answers 404: no host of the ABI
	defer host.Close()
	for _, page := range []string{"../../README.md", "../../../README.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found := command.FindAllString(string(text), -1)
		if len(found) != 2 {
			t.Errorf("%s: got the commands %q, want two", page, found)
		}
		for _, line := range found {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " # ")
			if strings.Contains(line, "go test") {
				continue // it would run itself
			}
			dir := filepath.Join(t.TempDir(), "conformance")
			line = strings.NewReplacer("/tmp/conformance", dir, "https://api.test:8443 -ca ca.pem -connect 127.0.0.1:8443", host.URL+" -upstream 127.0.0.1:0").Replace(line)
			words := strings.Fields(line)
			cmd := exec.Command(words[0], words[1:]...)
			cmd.Dir = "../../../.."
			out, err := cmd.CombinedOutput()
			switch {
			case strings.Contains(line, "-url"):
				if err == nil || !strings.Contains(string(out), "FAIL requests") {
					t.Errorf("%s: error %v, want a host that fails: %s", line, err, out)
				}
			case err != nil:
				t.Errorf("%s: %v: %s", line, err, out)
			case strings.Contains(line, "-export"):
				exported(t, dir)
			}
		}
	}
}

// exported wants a folder to have everything that a host must bind.
func exported(t *testing.T, dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "bindings.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bindings []conformance.Binding
	if err := json.Unmarshal(text, &bindings); err != nil || len(bindings) < 300 {
		t.Fatalf("bindings.json: %d bindings, error %v", len(bindings), err)
	}
	for _, b := range bindings {
		if _, err := os.Stat(filepath.Join(dir, b.Module+".wasm")); err != nil {
			t.Error(err)
		}
	}
}

func TestBadURL(t *testing.T) {
	for _, bad := range []string{"", "api.test", "::"} {
		if err := run("127.0.0.1:0", bad, "", "", false); err == nil || !strings.Contains(err.Error(), "want such as https://") {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}
