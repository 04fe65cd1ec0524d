package casefile

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzParse: cases that are accepted make records, and what they want differs from nothing
// that they themselves make.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seed: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`[{"name": "a", "hook": "guard", "request": {}, "result": {}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		cases, err := Parse(text)
		if err != nil {
			return
		}
		for _, c := range cases {
			if _, err := c.Record(nil); err != nil {
				continue // fields that the hook does not have, or that are too long
			}
			if c.result == nil {
				continue
			}
			result, err := EncodeResult(c.Hook, c.result)
			if err != nil {
				continue
			}
			if err := c.Compare(result); err != nil {
				t.Fatalf("%s: its own result differs: %v", c.Name, err)
			}
		}
	})
}
