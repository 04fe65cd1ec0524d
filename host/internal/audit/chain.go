package audit

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Fault is where and why a log does not verify.
type Fault struct {
	File string
	Line int // from 1; 0 is the file as a whole
	Why  string
}

// Error is "file:line: why".
func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.File + ": " + f.Why
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Why)
}

// chain follows a log line by line. Its zero value is before the genesis line.
type chain struct {
	head     Head
	instance string
	number   int // of the file, from 1
	lines    int
	torn     int
	at       int // line of the file that is read
	// resumed takes the first line's word for what came before it.
	resumed bool
	// seen is called with each line, in order; nil is not.
	seen func(Head, *record)
}

// first is what the first line of a file tells.
type first struct {
	Format   int    `json:"format"`
	Instance string `json:"instance"`
	Number   int    `json:"number"`
}

// broken is a line that did not verify: a fault, unless the next one says that a crash cut
// it off.
type broken struct {
	fault error
	bytes int
	sum   [sha256.Size]byte
}

// read follows one file from its line number from on. rest is what stands after its last
// newline.
func (c *chain) read(r io.Reader, file string, from int) (rest []byte, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var before *broken
	for n := from; ; n++ {
		c.at = n
		line, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, &Fault{file, n, err.Error()}
		}
		if errors.Is(err, io.EOF) {
			if before != nil {
				return nil, before.fault
			}
			return line, nil
		}
		record, head, err := parse(line)
		switch {
		case before != nil && (err != nil || !c.explains(&record, before)):
			return nil, before.fault
		case err != nil:
			before = &broken{&Fault{file, n, err.Error()}, len(line), sha256.Sum256(line)}
			continue
		case before != nil:
			before = nil
			c.torn++
		case record.Kind == Torn:
			return nil, &Fault{file, n, "it says that the line before was cut off, and that is whole: a line was removed"}
		}
		if err := c.link(&record, n == 1); err != nil {
			return nil, &Fault{file, n, err.Error()}
		}
		c.head = head
		c.lines++
		if c.seen != nil {
			c.seen(head, &record)
		}
	}
}

// readLine gives a line without its newline; at the end what is left and io.EOF.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case len(line) > maxLine:
			return nil, fmt.Errorf("it has more than %d bytes, and no line of this log has", maxLine)
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		}
	}
}

// explains tells whether r says of the line before that a crash cut it off.
func (c *chain) explains(r *record, b *broken) bool {
	var fields struct {
		Bytes  int
		SHA256 string
	}
	return r.Kind == Torn && json.Unmarshal(r.Fields, &fields) == nil &&
		fields.Bytes == b.bytes && fields.SHA256 == hex.EncodeToString(b.sum[:])
}

// link checks that r comes right after what was read.
func (c *chain) link(r *record, begins bool) error {
	var f first
	opens := r.Kind == Genesis || r.Kind == Segment
	if opens {
		if err := json.Unmarshal(r.Fields, &f); err != nil || f.Format != format || f.Instance == "" {
			return fmt.Errorf("a %s line of another format, want %d", r.Kind, format)
		}
	}
	switch {
	case begins && !opens:
		return fmt.Errorf("a file begins with %q, want %q or %q: its beginning was cut off", r.Kind, Genesis, Segment)
	case !begins && opens:
		return fmt.Errorf("a second beginning, of kind %q: it was inserted, or files were joined", r.Kind)
	case begins && c.head.Seq == 0 && c.resumed && r.Kind == Segment:
		// What came before is not looked at.
	case begins && c.head.Seq == 0 && r.Kind == Segment:
		return fmt.Errorf("it begins with line %d, want the genesis line: files before it are missing", r.Seq)
	case r.Kind == Genesis && c.head.Seq > 0:
		return errors.New("a second genesis line: another log was put here")
	case r.Seq > c.head.Seq+1:
		return fmt.Errorf("seq is %d, want %d: lines before it were removed or moved", r.Seq, c.head.Seq+1)
	case r.Seq <= c.head.Seq:
		return fmt.Errorf("seq is %d, want %d: it was repeated, moved or inserted", r.Seq, c.head.Seq+1)
	case r.Prev != hex.EncodeToString(c.head.Hash[:]):
		return fmt.Errorf("prev is %q, want %x, the hash of the line before: that line was replaced, or this one", r.Prev, c.head.Hash)
	}
	if opens && c.instance != "" && f.Instance != c.instance {
		return fmt.Errorf("instance is %q, want %q: a file of another log", f.Instance, c.instance)
	}
	if opens {
		c.instance, c.number = f.Instance, max(f.Number, 1)
	}
	return nil
}

// segmentName is what the nth file of the log at path is called when the next has begun.
func segmentName(path string, n int) string {
	ext := filepath.Ext(path)
	return fmt.Sprintf("%s-%06d%s", strings.TrimSuffix(path, ext), n, ext)
}

// segments is the earlier files of the log at path, the oldest first.
func segments(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var found []string
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(filepath.Base(path), ext) + "-"
	for _, e := range entries {
		digits, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ext), stem)
		if ok && strings.HasSuffix(e.Name(), ext) && len(digits) >= 6 && strings.Trim(digits, "0123456789") == "" {
			found = append(found, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	slices.SortFunc(found, func(a, b string) int { // 1000000 comes after 999999
		if d := len(a) - len(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return found, nil
}

// readFile follows the file at path, which must be whole.
func (c *chain) readFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	rest, err := c.read(f, path, 1)
	if err == nil && len(rest) > 0 {
		err = &Fault{path, c.at, "it has no end: a crash cut it off, or somebody"}
	}
	return err
}
