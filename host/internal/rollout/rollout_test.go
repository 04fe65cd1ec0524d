package rollout

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestJudge(t *testing.T) {
	all, none := 100.0, 0.0
	for name, tt := range map[string]struct {
		bounds   Bounds
		old, now Counts
		want     string
	}{
		"nothing yet":             {},
		"one failure of few":      {now: Counts{Decisions: 1, Failures: 1}},
		"two failures of few":     {now: Counts{Decisions: 2, Failures: 2}, want: "2 of 2 decisions failed, want at most 1 % of at least 100"},
		"one of a hundred":        {now: Counts{Decisions: 1000, Failures: 10}},
		"more":                    {now: Counts{Decisions: 1000, Failures: 11}, want: "11 of 1000 decisions failed"},
		"no failure at all":       {bounds: Bounds{Failures: &none}, now: Counts{Decisions: 1, Failures: 1}, want: "1 of 1 decisions failed, want at most 0 %"},
		"any failure":             {bounds: Bounds{Failures: &all}, now: Counts{Decisions: 1000, Failures: 1000}},
		"denials as before":       {old: Counts{Decisions: 1000, Denials: 300}, now: Counts{Decisions: 200, Denials: 69}},
		"more denials":            {old: Counts{Decisions: 1000, Denials: 300}, now: Counts{Decisions: 200, Denials: 71}, want: "71 of 200 decisions are denials, want at most 5 percentage points above the 30 % of the old version"},
		"few say little":          {old: Counts{Decisions: 3, Denials: 3}, now: Counts{Decisions: 9, Denials: 9}, want: "above the 3 % of the old version"},
		"any denial":              {bounds: Bounds{Denials: &all}, now: Counts{Decisions: 1000, Denials: 1000}},
		"slow, but few":           {now: Counts{Decisions: 99, Calls: 99, P95: time.Second}},
		"slow":                    {now: Counts{Decisions: 100, Calls: 100, P95: time.Second}, want: "95 of 100 calls end within 1s, want within 50ms"},
		"fast enough":             {now: Counts{Decisions: 100, Calls: 100, P95: 50 * time.Millisecond}},
		"judged at the first":     {bounds: Bounds{Decisions: 1}, now: Counts{Decisions: 1, Denials: 1}, want: "1 of 1 decisions are denials"},
		"failures are told first": {now: Counts{Decisions: 200, Failures: 100, Denials: 100}, want: "decisions failed"},
	} {
		got := tt.bounds.Judge(tt.old, tt.now)
		if tt.want == "" {
			assert.Empty(t, got, name)
		} else {
			assert.Contains(t, got, tt.want, name)
		}
	}
}

func TestStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "rollouts.json")
	none, err := Load(file)
	require.NoError(t, err)
	require.Empty(t, none)
	now := time.Now().UTC().Round(0)
	entries := []Entry{{Plugin: "a", Base: "sha256:1", Digest: "sha256:2", Share: Share{Percent: 0.5}, Bounds: DefaultBounds(), State: Running, Started: now},
		{Plugin: "b", Base: "sha256:1", Digest: "sha256:2", Share: Share{Header: "x: y"}, State: Returned, Reason: "why", Started: now, Ended: &now}}
	require.NoError(t, Save(file, entries))
	again, err := Load(file)
	require.NoError(t, err)
	assert.Equal(t, entries, again)
	for text, want := range map[string]string{
		"": "EOF", "{}": "cannot unmarshal", `[{"plugin": "a", "who": 1}]`: `unknown field "who"`,
		`[{"plugin": "a", "base": "sha256:1", "digest": "sha256:2", "state": "odd"}]`: "want plugin, base, digest and state",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := Load(file)
		assert.ErrorContains(t, err, want, text)
	}
	require.ErrorContains(t, Save(filepath.Join(file, "below a file"), entries), "write rollouts")
}

func TestModules(t *testing.T) {
	m := Modules{Dir: filepath.Join(t.TempDir(), "modules")}
	digest, err := m.Put([]byte("a module"))
	require.NoError(t, err)
	wasm, err := m.Get(digest)
	require.NoError(t, err)
	assert.Equal(t, "a module", string(wasm))
	require.NoError(t, os.WriteFile(filepath.Join(m.Dir, digest[7:]+".wasm"), []byte("another"), 0o600))
	_, err = m.Get(digest)
	require.ErrorContains(t, err, "want "+digest)
	require.NoError(t, m.Delete(digest))
	require.NoError(t, m.Delete(digest))
	_, err = m.Get(digest)
	require.ErrorIs(t, err, os.ErrNotExist)
	for _, bad := range []string{"", "sha256:", "sha256:../../../../etc/passwd", digest + "0"} {
		_, err := m.Get(bad)
		require.ErrorContains(t, err, "want sha256: and 64 hexadecimal digits", bad)
		require.ErrorContains(t, m.Delete(bad), "want sha256:", bad)
	}
}
