package conformance

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The guests are kept as they were compiled: what ran must run.
func TestGuestsStay(t *testing.T) {
	text, err := os.ReadFile("guests/digests.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for line := range strings.Lines(string(text)) {
		digest, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("digests.txt: got %q, want lines of sha256sum", line)
		}
		known[name] = digest
	}
	names, err := filepath.Glob("guests/*.wasm")
	if err != nil || len(names) == 0 {
		t.Fatalf("no guest: %v", err)
	}
	for _, path := range names {
		wasm, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		if got := fmt.Sprintf("%x", sha256.Sum256(wasm)); known[name] != got {
			t.Errorf("%s: digest %s, want %q: a guest does not change, a new one gets a name of its own and a line in digests.txt", name, got, known[name])
		}
		delete(known, name)
	}
	for name := range known {
		t.Errorf("%s is in digests.txt and not there", name)
	}
}

// The sources are those of the guests: WAT compiles to the same bytes everywhere, C to
// modules that pass, whose bytes are the compiler's.
func TestSources(t *testing.T) {
	out := t.TempDir()
	if text, err := exec.Command("sh", "guests/build.sh", out).CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v: %s", err, text)
	}
	built, err := filepath.Glob(out + "/*.wasm")
	if err != nil {
		t.Fatal(err)
	}
	kept, _ := filepath.Glob("guests/*.wasm") // the pattern is good
	if len(built) != len(kept) {
		t.Errorf("%d guests are built, %d are kept", len(built), len(kept))
	}
	for _, path := range built {
		name := filepath.Base(path)
		if _, err := os.Stat(filepath.Join("guests", strings.TrimSuffix(name, ".wasm")+".wat")); err != nil {
			continue
		}
		now, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		then, err := os.ReadFile(filepath.Join("guests", name))
		if err != nil || string(now) != string(then) {
			t.Errorf("%s differs from what its source compiles to: %v", name, err)
		}
	}
}

func TestSuite(t *testing.T) {
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range s.Cases {
		if names[c.Group+c.Name] {
			t.Errorf("%s: two cases %q", c.Group, c.Name)
		}
		names[c.Group+c.Name] = true
	}
	groups := map[string]bool{}
	for _, c := range s.Cases {
		groups[c.Group] = true
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d cases in %d groups", len(s.Cases), len(groups)); !strings.Contains(string(readme), want) {
		t.Errorf("README.md does not say %q", want)
	}
}

// A host that lets everything through, or nothing, fails most of the suite: cases that
// nobody can fail would show here.
func TestNoHostPassesByItself(t *testing.T) {
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	up, err := ListenUpstream("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	for name, host := range map[string]http.HandlerFunc{
		"open":   func(w http.ResponseWriter, r *http.Request) { up.ServeHTTP(w, r) },
		"closed": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"broken": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	} {
		server := httptest.NewServer(host)
		passed := map[string]bool{}
		for _, r := range Run(context.Background(), s, Target{URL: server.URL, Upstream: up, Patience: time.Millisecond}) {
			if r.Err == nil {
				passed[r.Group] = true
			}
		}
		server.Close()
		t.Logf("%s passes something of %v", name, passed)
		for _, group := range []string{"requests", "capabilities", "wasi", "isolation"} {
			if passed[group] {
				t.Errorf("the %s host passes a case of %s", name, group)
			}
		}
	}
}

// Every malformed result of the ABI's vectors is a case of a host.
func TestVectorsAreCases(t *testing.T) {
	text, err := os.ReadFile("../v1/vectors/malformed.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Name, Kind, Hook, Hex string }
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	cases, err := files.ReadFile("cases/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		if v.Kind == "result" && v.Hook != "" && !strings.Contains(string(cases), `"`+v.Hook+`": "`+v.Hex+`"`) {
			t.Errorf("vector %q of %s is no case", v.Name, v.Hook)
		}
	}
}

// What abi.json knows by name stands in the cases or in the guests that they call.
func TestEverythingIsAsked(t *testing.T) {
	var all strings.Builder
	for _, pattern := range []string{"cases/*.json", "guests/*.c", "guests/*.h", "guests/*.wat"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	text, err := os.ReadFile("../v1/abi.json")
	if err != nil {
		t.Fatal(err)
	}
	var source map[string]json.RawMessage
	if err := json.Unmarshal(text, &source); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"hooks", "request_fields", "result_fields", "decisions", "scopes", "edit_ops", "call_flags", "selectors", "body_modes"} {
		var entries []struct{ Name string }
		if err := json.Unmarshal(source[list], &entries); err != nil || len(entries) == 0 {
			t.Fatalf("%s of abi.json: %v", list, err)
		}
		for _, e := range entries {
			// Fields of outbound calls are numbers in outbound.c, and those of TLS are there or not.
			if strings.HasPrefix(e.Name, "http_") || strings.HasPrefix(e.Name, "tls_") {
				continue
			}
			if !strings.Contains(all.String(), `"`+e.Name+`"`) && !strings.Contains(all.String(), `"`+e.Name+`.`) {
				t.Errorf("%s: no case knows %q", list, e.Name)
			}
		}
	}
}
