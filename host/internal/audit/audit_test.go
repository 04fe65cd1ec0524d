package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func clock() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC) }

func open(t testing.TB, path string, o Options) *Log {
	t.Helper()
	if o.Now == nil {
		o.Now = clock
	}
	o.open = func(path string, flag int) (file, error) {
		f, err := openFile(path, flag)
		if err != nil {
			return nil, err
		}
		return quick{f}, nil
	}
	l, err := Open(path, o)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func add(t testing.TB, l *Log, kind Kind, fields map[string]any) Head {
	t.Helper()
	head, err := l.Append(Event{kind, fields})
	require.NoError(t, err)
	return head
}

// sample writes a log with a torn line in it and gives its path, text and head.
func sample(t testing.TB) (path string, text []byte, head Head) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, Options{})
	add(t, l, GatewayStarted, map[string]any{"version": "1"})
	add(t, l, PluginLoaded, map[string]any{"plugin": "jwt", "digest": "sha256:00"})
	require.NoError(t, l.Close())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(text, `{"seq":4,"time":"20`...), 0o600))
	l = open(t, path, Options{})
	add(t, l, PolicyBound, map[string]any{"grants": map[string]any{"http": []string{"a.example", "<b>"}}})
	head = add(t, l, GatewayStopped, nil)
	require.NoError(t, l.Close())
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	return path, text, head
}

func TestLine(t *testing.T) {
	path, text, head := sample(t)
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	require.Len(t, lines, 7)
	// What anybody computes with sed and sha256sum.
	last := lines[len(lines)-1]
	before, rest, ok := strings.Cut(last, `,"hash":"`)
	require.True(t, ok)
	sum := sha256.Sum256([]byte(before + "}"))
	assert.Equal(t, hex.EncodeToString(sum[:])+`"}`, rest)
	assert.Equal(t, fmt.Sprintf("6:%x", sum), head.String())
	assert.Contains(t, lines[5], `{"seq":5,"time":"2026-01-02T03:04:05.678000Z","kind":"policy_bound","fields":{"grants":{"http":["a.example","<b>"]}},"prev":"`)
	assert.Contains(t, lines[4], `"kind":"torn","fields":{"bytes":19,"sha256":"`)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())

	r, err := Verify(path, VerifyOptions{Heads: []Head{head}})
	require.NoError(t, err)
	assert.Equal(t, head, r.Head)
	assert.Equal(t, 6, r.Lines)
	assert.Equal(t, 1, r.Torn)
	assert.Len(t, r.Instance, 32)
	parsed, err := ParseHead(head.String())
	require.NoError(t, err)
	assert.Equal(t, head, parsed)
	for _, bad := range []string{"", "6", "0:" + strings.Repeat("0", 64), "6:00", "x:" + strings.Repeat("0", 64), "6:" + strings.Repeat("g", 64)} {
		_, err := ParseHead(bad)
		assert.ErrorContains(t, err, "read head", bad)
	}
}

// tampered wants every change of the sample to be found, and a fault at a line.
func tampered(t *testing.T, path string, head Head, what string, text []byte) {
	t.Helper()
	// As Verify reads a file, of which the disk would make a minute.
	v := &verifier{missing: []Head{head}, report: Report{Files: []string{path}}}
	v.chain.seen = v.see
	rest, err := v.chain.read(bytes.NewReader(text), path, 1)
	if err == nil {
		err = v.compare(path, Head{})
	}
	if len(rest) > 0 {
		return // it has no end
	}
	if _, ok := errors.AsType[*Fault](err); !ok {
		t.Errorf("%s: got %v, want a fault", what, err)
	}
}

func TestAnyEditIsFound(t *testing.T) {
	path, text, head := sample(t)
	require.NoError(t, os.WriteFile(path, text[:len(text)/2], 0o600))
	_, err := Verify(path, VerifyOptions{Heads: []Head{head}})
	require.ErrorContains(t, err, "it has no end", "what is left of a line counts as a fault")
	for i := range text {
		for _, bit := range []byte{0x01, 0x20, 0x80} {
			edited := bytes.Clone(text)
			edited[i] ^= bit
			tampered(t, path, head, fmt.Sprintf("byte %d ^ %#x", i, bit), edited)
		}
		for _, b := range []byte{' ', '\n', '0', '"'} {
			edited := append(append(bytes.Clone(text[:i]), b), text[i:]...)
			if bytes.Equal(edited[:i+1], text[:min(i+1, len(text))]) && bytes.Equal(edited, text) {
				continue
			}
			tampered(t, path, head, fmt.Sprintf("%q put at %d", b, i), edited)
		}
		tampered(t, path, head, fmt.Sprintf("byte %d removed", i), append(bytes.Clone(text[:i]), text[i+1:]...))
		tampered(t, path, head, fmt.Sprintf("cut at %d", i), text[:i])
	}
	tampered(t, path, head, "a blank line after", append(bytes.Clone(text), '\n'))
}

func TestAnyMovedLineIsFound(t *testing.T) {
	path, text, head := sample(t)
	lines := bytes.SplitAfter(text, []byte("\n"))
	lines = lines[:len(lines)-1]
	_, other, _ := sample(t)
	foreign := bytes.SplitAfter(other, []byte("\n"))
	with := func(change func(l [][]byte) [][]byte) []byte {
		return bytes.Join(change(append([][]byte{}, lines...)), nil)
	}
	for i := range lines {
		tampered(t, path, head, fmt.Sprintf("line %d removed", i+1), with(func(l [][]byte) [][]byte { return append(l[:i], l[i+1:]...) }))
		tampered(t, path, head, fmt.Sprintf("cut before line %d", i+1), with(func(l [][]byte) [][]byte { return l[:i] }))
		for j := range lines {
			if i < j {
				tampered(t, path, head, fmt.Sprintf("lines %d and %d swapped", i+1, j+1), with(func(l [][]byte) [][]byte {
					l[i], l[j] = l[j], l[i]
					return l
				}))
			}
			tampered(t, path, head, fmt.Sprintf("line %d put before %d", i+1, j+1), with(func(l [][]byte) [][]byte {
				return append(append(append([][]byte{}, l[:j]...), l[i]), l[j:]...)
			}))
			if i != 3 { // the torn line is the same in both logs
				tampered(t, path, head, fmt.Sprintf("line %d of another log in the place of %d", i+1, j+1), with(func(l [][]byte) [][]byte {
					l[j] = foreign[i]
					return l
				}))
			}
		}
	}
	// Who makes the whole chain anew is found by the head.
	tampered(t, path, head, "another log", other)
}

func TestFaultsSayWhereAndWhy(t *testing.T) {
	path, text, head := sample(t)
	lines := bytes.SplitAfter(text, []byte("\n"))
	join := func(l ...[]byte) []byte { return bytes.Join(l, nil) }
	for _, c := range []struct {
		text []byte
		want string
	}{
		{bytes.Replace(text, []byte(`"jwt"`), []byte(`"jwx"`), 1), `audit.log:3: it says the hash "`},
		{join(lines[0], lines[2], lines[3], lines[4], lines[5], lines[6]), "audit.log:2: seq is 3, want 2: lines before it were removed or moved"},
		{join(lines[0], lines[1], lines[1], lines[2]), "audit.log:3: seq is 2, want 3: it was repeated, moved or inserted"},
		{join(lines[1:]...), `audit.log:1: a file begins with "gateway_started", want "genesis" or "segment": its beginning was cut off`},
		{join(lines[:6]...), fmt.Sprintf("audit.log: the log ends with seq 5, want %d at least: its end was cut off", head.Seq)},
		{text[:len(text)-1], "audit.log:7: it has no end"},
		{join(lines[0], []byte("{}\n"), lines[1]), "audit.log:2: it does not end with its hash"},
		{nil, "the log ends with seq 0, want 6"},
	} {
		require.NoError(t, os.WriteFile(path, c.text, 0o600))
		_, err := Verify(path, VerifyOptions{Heads: []Head{head}})
		assert.ErrorContains(t, err, c.want)
	}
}

// A line that is chained rightly and written in another way is not ours.
func TestEncodingIsCanonical(t *testing.T) {
	for _, line := range []string{
		`{"seq":1,"seq":1,"time":"x","kind":"a","fields":{},"prev":""}`,
		`{"seq":1, "time":"x","kind":"a","fields":{},"prev":""}`,
		`{"seq":1,"time":"x","kind":"a","fields":{"b":1,"a":2},"prev":""}`,
		`{"seq":1,"time":"x","kind":"a","fields":[],"prev":""}`,
		`{"seq":1.0,"time":"x","kind":"a","fields":{},"prev":""}`,
		`{"seq":1,"time":"x","kind":"a","fields":{},"prev":"","more":1}`,
	} {
		sum := sha256.Sum256([]byte(line))
		_, _, err := parse(fmt.Appendf(nil, `%s,"hash":"%x"}`, line[:len(line)-1], sum))
		assert.Error(t, err, line)
	}
}

// A crash in any place of an append: what was there stays, byte for byte, and the log goes on.
func TestCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, Options{})
	add(t, l, GatewayStarted, nil)
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = l.Append(Event{PluginLoaded, map[string]any{"plugin": "a"}}, Event{PluginLoaded, map[string]any{"plugin": "b"}})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for cut := len(kept); cut <= len(text); cut++ {
		require.NoError(t, os.WriteFile(path, text[:cut], 0o600))
		l := open(t, path, Options{})
		head := add(t, l, GatewayStarted, nil)
		require.NoError(t, l.Close())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(got, text[:cut]), "cut at %d: what stood there was rewritten", cut)
		r, err := Verify(path, VerifyOptions{Heads: []Head{head}})
		require.NoError(t, err, "cut at %d", cut)
		whole := cut == len(text) || text[cut] == '\n' || text[cut-1] == '\n'
		assert.Equal(t, whole, r.Torn == 0, "cut at %d", cut)
		assert.Equal(t, []uint64{head.Seq}, r.Unstopped)
	}
}

// A crash while the very first line was written.
func TestCrashAtTheBeginning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	require.NoError(t, os.WriteFile(path, []byte(`{"seq":1,"ti`), 0o600))
	l := open(t, path, Options{})
	add(t, l, GatewayStarted, nil)
	require.NoError(t, l.Close())
	_, err := Verify(path, VerifyOptions{})
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Contains(t, string(text), `"torn_bytes":12`)
}

func TestSegments(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	l := open(t, path, Options{SegmentBytes: 600})
	var heads []Head
	for i := range 20 {
		heads = append(heads, add(t, l, Rollout, map[string]any{"step": i}))
	}
	require.NoError(t, l.Close())
	files, err := segments(path)
	require.NoError(t, err)
	require.Greater(t, len(files), 3)
	r, err := Verify(path, VerifyOptions{Heads: heads})
	require.NoError(t, err)
	assert.Equal(t, heads[19], r.Head)
	assert.Equal(t, append(files, path), r.Files)

	// A crash between the rename and the next file, which may be there and empty.
	require.NoError(t, os.Rename(path, segmentName(path, len(files)+1)))
	_, err = Verify(path, VerifyOptions{Heads: heads})
	require.NoError(t, err)
	l = open(t, path, Options{SegmentBytes: 600})
	last := add(t, l, GatewayStarted, nil)
	require.NoError(t, l.Close())
	_, err = Verify(path, VerifyOptions{Heads: append(heads, last)})
	require.NoError(t, err)

	for _, name := range append(files, path) { // each file is needed, in its place
		require.NoError(t, os.Rename(name, name+".away"))
		_, err := Verify(path, VerifyOptions{Heads: []Head{last}})
		assert.Error(t, err, name)
		require.NoError(t, os.Rename(name+".away", name))
	}
	require.NoError(t, os.Rename(files[0], filepath.Join(dir, "archived")))
	_, err = Verify(path, VerifyOptions{})
	assert.ErrorContains(t, err, "files before it are missing")
	archived, err := Verify(filepath.Join(dir, "archived"), VerifyOptions{})
	require.NoError(t, err)
	_, err = Verify(path, VerifyOptions{After: archived.Head, Heads: []Head{last, archived.Head}})
	require.NoError(t, err)
	_, err = Verify(path, VerifyOptions{After: heads[3]})
	assert.Error(t, err)
}

func TestConcurrentAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, Options{SegmentBytes: 8 << 10})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 25 {
				_, err := l.Append(Event{PluginLoaded, map[string]any{"n": i}}, Event{PolicyBound, map[string]any{"n": j}})
				assert.NoError(t, err)
				l.Head()
				assert.NoError(t, l.Err())
			}
		})
	}
	wg.Wait()
	r, err := Verify(path, VerifyOptions{Heads: []Head{l.Head()}}) // while it is open
	require.NoError(t, err)
	assert.Equal(t, len(r.Files)+400, r.Lines)
}

func TestOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, Options{})
	_, err := Open(path, Options{})
	assert.ErrorContains(t, err, "another gateway runs on this data_dir")
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	_, err = l.Append(Event{Kind: GatewayStarted})
	assert.ErrorContains(t, err, "append to audit log")
	require.NoError(t, os.Chmod(path, 0o640))
	_, err = Open(path, Options{})
	assert.ErrorContains(t, err, "want 0600")
}

// A log that was changed is not appended to: the new lines would vouch for the old.
func TestOpenRefusesAChangedLog(t *testing.T) {
	path, text, _ := sample(t)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	for i := 0; i < len(text)-1; i += 3 { // a missing end is a crash, as far as anybody can tell
		edited := bytes.Clone(text)
		edited[i] ^= 1
		_, err := f.WriteAt(edited, 0)
		require.NoError(t, err)
		_, err = Open(path, Options{})
		require.Error(t, err, "byte %d", i)
		_, ok := errors.AsType[*Fault](err)
		require.True(t, ok, "byte %d: %v", i, err)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, edited, after)
	}
}

// What somebody does to the file beside a running gateway stops the appends.
func TestAppendRefusesAChangedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, Options{})
	head := add(t, l, GatewayStarted, nil)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, change := range map[string]func() error{
		"another file": func() error { return os.Rename(path, path+".away") },
		"cut":          func() error { return os.Truncate(path, 10) },
		"appended":     func() error { return os.WriteFile(path, append(bytes.Clone(text), text...), 0o600) },
	} {
		require.NoError(t, change())
		if name == "another file" {
			require.NoError(t, os.WriteFile(path, text, 0o600))
		}
		got, err := l.Append(Event{Kind: AdminCall})
		assert.Error(t, err, name)
		assert.Equal(t, head, got, name)
		assert.Equal(t, err, l.Err())
		if name == "another file" {
			require.NoError(t, os.Rename(path+".away", path))
		}
		require.NoError(t, os.WriteFile(path, text, 0o600))
		head = add(t, l, AdminCall, nil) // as it was: it goes on
		assert.NoError(t, l.Err())
		text, err = os.ReadFile(path)
		require.NoError(t, err)
	}
	_, err = Verify(path, VerifyOptions{Heads: []Head{head}})
	require.NoError(t, err)
}

// quick is a file that does not wait for the disk.
type quick struct{ file }

func (quick) Sync() error { return nil }

// full is a file on a disk that takes so many bytes more; sick is one whose Sync fails.
type full struct {
	file
	room       int
	sick, hold bool
}

func (f *full) Write(p []byte) (int, error) {
	if f.room >= len(p) {
		f.room -= len(p)
		return f.file.Write(p)
	}
	n, err := f.file.Write(p[:f.room])
	f.room = 0
	return n, errors.Join(err, errors.New("no space left on device"))
}

func (f *full) Sync() error {
	if f.sick {
		return errors.New("input/output error")
	}
	return f.file.Sync()
}

func (f *full) Truncate(n int64) error {
	if f.hold {
		return errors.New("operation not permitted")
	}
	return f.file.Truncate(n)
}

func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, Options{})
	head := add(t, l, GatewayStarted, nil)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, f := range []*full{{room: 0}, {room: 1}, {room: 200}, {room: 300}, {room: 1 << 20, sick: true}, {room: 250, hold: true}} {
		real := l.file
		f.file = real
		l.file = f
		_, err := l.Append(Event{Kind: PluginLoaded}, Event{Kind: PolicyBound})
		require.ErrorContains(t, err, "append to audit log")
		require.Equal(t, head, l.Head())
		f.hold = false
		f.room, f.sick = 0, false
		_, err = l.Append(Event{Kind: PluginLoaded})
		require.Error(t, err, "still full")
		l.file = real
		now, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, before, now, "nothing of it is left")
		head = add(t, l, PluginLoaded, nil)
		before, err = os.ReadFile(path)
		require.NoError(t, err)
	}
	_, err = Verify(path, VerifyOptions{Heads: []Head{head}})
	require.NoError(t, err)
}

func TestScrub(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, Options{Scrub: func(s string) string { return strings.ReplaceAll(s, `hunter"2`, "[redacted]") }})
	add(t, l, ConfigurationRefused, map[string]any{"error": `got "hunter"2"`, "list": []string{`hunter"2`}, `hunter"2`: 1})
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "hunter")
	_, err = l.Append(Event{ConfigurationRefused, map[string]any{"error": strings.Repeat("x", maxLine)}})
	assert.ErrorContains(t, err, "want at most")
	_, err = l.Append(Event{ConfigurationRefused, map[string]any{"error": func() {}}})
	assert.ErrorContains(t, err, "unsupported type")
	_, err = Verify(path, VerifyOptions{Heads: []Head{l.Head()}})
	require.NoError(t, err)
}

// Whatever a file holds, reading it ends, and only what was appended verifies.
func FuzzVerify(f *testing.F) {
	_, text, _ := sample(f)
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add([]byte("\n\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "audit.log")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		r, err := Verify(path, VerifyOptions{})
		if err != nil || r.Lines == 0 {
			return
		}
		for line := range bytes.Lines(data) {
			if r.Torn == 0 && !json.Valid(line) {
				t.Fatalf("verified a line that is no JSON: %q", line)
			}
		}
	})
}
