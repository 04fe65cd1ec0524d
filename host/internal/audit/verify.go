package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// VerifyOptions say what a log is compared with.
type VerifyOptions struct {
	// After is the head that earlier files, moved away since, end with; the zero value wants
	// the genesis line.
	After Head
	// Heads are lines that must be there, as told by a running gateway or kept elsewhere:
	// only they show an end that was cut off.
	Heads []Head
}

// Report is what [Verify] read.
type Report struct {
	Instance string
	Files    []string // in order
	Lines    int
	First    uint64 // seq of the first line
	Head     Head
	Torn     int // lines that crashes cut off
	// Unstopped are the seqs of starts before which no stop stands: a crash, or an end that
	// was cut off while the gateway did not run.
	Unstopped []uint64
}

// Verify reads the log at path, with its earlier files beside it, and tells the first thing
// that is wrong as a *[Fault]; other errors are of the file system. The report is of what was
// read until then. A gateway may append meanwhile.
func Verify(path string, o VerifyOptions) (r *Report, err error) {
	for range 3 { // what is being appended may be seen half
		before, _ := os.Stat(path)
		r, err = verify(path, o)
		after, _ := os.Stat(path)
		if err == nil || before == nil || after == nil || os.SameFile(before, after) && before.Size() == after.Size() {
			break
		}
	}
	return r, err
}

func verify(path string, o VerifyOptions) (*Report, error) {
	files, err := segments(path)
	if err != nil {
		return nil, fmt.Errorf("verify audit log: %w", err)
	}
	switch _, err := os.Lstat(path); {
	case err == nil:
		files = append(files, path)
	case len(files) == 0 || !errors.Is(err, fs.ErrNotExist): // a crash may have left only the earlier ones
		return nil, fmt.Errorf("verify audit log: %w", err)
	}
	v := &verifier{chain: chain{head: o.After}, missing: o.Heads}
	v.chain.seen = v.see
	for _, file := range files {
		v.report.Files = append(v.report.Files, file)
		err := v.chain.readFile(file)
		v.report.Instance, v.report.Lines = v.chain.instance, v.chain.lines
		v.report.Head, v.report.Torn = v.chain.head, v.chain.torn
		if err != nil {
			return &v.report, err
		}
	}
	return &v.report, v.compare(path, o.After)
}

// verifier compares a chain with heads that are known, as it is read.
type verifier struct {
	chain    chain
	report   Report
	missing  []Head // not seen yet
	replaced error
	running  bool
}

func (v *verifier) see(h Head, r *record) {
	if v.report.First == 0 {
		v.report.First = h.Seq
	}
	switch r.Kind {
	case GatewayStarted:
		if v.running {
			v.report.Unstopped = append(v.report.Unstopped, h.Seq)
		}
		v.running = true
	case GatewayStopped:
		v.running = false
	}
	var left []Head
	for _, want := range v.missing {
		if want.Seq == h.Seq && want != h && v.replaced == nil {
			file := v.report.Files[len(v.report.Files)-1]
			v.replaced = &Fault{file, v.chain.at, fmt.Sprintf("its hash is %x, want %x: this line or one before was replaced, and all after it", h.Hash, want.Hash)}
		}
		if want.Seq != h.Seq {
			left = append(left, want)
		}
	}
	v.missing = left
}

// compare tells which of the known heads are not there.
func (v *verifier) compare(path string, after Head) error {
	if v.replaced != nil {
		return v.replaced
	}
	for _, want := range v.missing {
		switch {
		case want.Seq > v.chain.head.Seq:
			return &Fault{File: path, Why: fmt.Sprintf("the log ends with seq %d, want %d at least: its end was cut off", v.chain.head.Seq, want.Seq)}
		case want != after:
			return &Fault{File: path, Why: fmt.Sprintf("seq %d is not there to compare: it is before the first line", want.Seq)}
		}
	}
	return nil
}
