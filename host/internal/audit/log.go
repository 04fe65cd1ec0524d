package audit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	format       = 1
	maxLine      = 8 << 20
	segmentBytes = 16 << 20
)

// Options are for [Open]. The zero value works.
type Options struct {
	// Scrub takes out of every text what must not be kept, such as the values of
	// references; nil takes nothing out.
	Scrub func(string) string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// SegmentBytes is from which size on a file is followed by another; 0 is 16 MiB.
	SegmentBytes int64

	open func(path string, flag int) (file, error) // nil is openFile
}

// file is what a log needs of an [os.File].
type file interface {
	io.ReadWriteSeeker
	io.Closer
	Stat() (fs.FileInfo, error)
	Sync() error
	Truncate(size int64) error
}

// Log appends to the log at one path. It is safe for concurrent use; who opened it closes it.
type Log struct {
	o    Options
	path string

	mu     sync.Mutex
	file   file  // nil after Close
	size   int64 // of what was appended and synced
	dirty  bool  // the file may be longer than that
	chain  chain
	failed error // of the last append; nil after one that succeeded
}

// Open opens the log at path, or begins it, and checks the last of its files. It fails when
// that does not verify (the error is a *[Fault]), when others may read or write it, and when
// another process has it open.
func Open(path string, o Options) (_ *Log, err error) {
	if o.Scrub == nil {
		o.Scrub = func(s string) string { return s }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = segmentBytes
	}
	if o.open == nil {
		o.open = openFile
	}
	l := &Log{o: o, path: path}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open audit log: %w", err)
			if l.file != nil {
				l.file.Close()
			}
		}
	}()
	if l.file, err = o.open(path, os.O_CREATE); err != nil {
		return nil, err
	}
	l.chain.resumed = true
	rest, err := l.chain.read(l.file, path, 1)
	if err != nil {
		return nil, err
	}
	if l.size, err = l.file.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}
	if l.chain.lines == 0 {
		return l, l.begin(rest)
	}
	return l, l.mend(rest)
}

// openFile opens a file of the log for this process alone.
func openFile(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%q is no regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		err = fmt.Errorf("%q has mode %#o, want 0600: others can read or change it", path, info.Mode().Perm())
	default:
		err = lock(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// begin writes the first line of a file that has none, after the segments that there are. A
// first line that a crash cut off is told in it: there is no line to chain another to.
func (l *Log) begin(rest []byte) error {
	earlier, err := segments(l.path)
	if err != nil {
		return err
	}
	l.chain = chain{resumed: true}
	if n := len(earlier); n > 0 {
		if err := l.chain.readFile(earlier[n-1]); err != nil {
			return err
		}
	}
	fields := l.opening()
	if len(rest) > 0 {
		fields["torn_bytes"], fields["torn_sha256"] = len(rest), digest(rest)
		if err := l.file.Truncate(0); err != nil {
			return err
		}
		l.size = 0
	}
	kind := Genesis
	if l.chain.head.Seq > 0 {
		kind = Segment
	}
	if err := l.append(Event{kind, fields}); err != nil {
		return err
	}
	return syncDir(l.path)
}

// opening is the fields of the first line of the next file.
func (l *Log) opening() map[string]any {
	if l.chain.head.Seq == 0 {
		id := make([]byte, 16)
		rand.Read(id) // never fails: crypto/rand
		l.chain.instance, l.chain.number = hex.EncodeToString(id), 1
		return map[string]any{"format": format, "instance": l.chain.instance}
	}
	previous := filepath.Base(segmentName(l.path, l.chain.number))
	l.chain.number++
	return map[string]any{"format": format, "instance": l.chain.instance, "number": l.chain.number, "previous": previous}
}

// mend ends a last line that a crash cut off.
func (l *Log) mend(rest []byte) error {
	if len(rest) == 0 {
		return nil
	}
	lead := []byte("\n")
	whole := l.chain
	if left, err := whole.read(bytes.NewReader(append(bytes.Clone(rest), '\n')), l.path, l.chain.at); err == nil && len(left) == 0 {
		l.chain = whole // only its newline is missing
		return l.write(lead, l.chain.head)
	}
	fields, err := canonical(map[string]any{"bytes": len(rest), "sha256": digest(rest)}, l.o.Scrub)
	if err != nil {
		return err
	}
	data, head, err := appendLine(lead, l.chain.head, l.o.Now(), Torn, fields)
	if err != nil {
		return err
	}
	l.chain.torn++
	return l.write(data, head)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Append writes events, all or none, and syncs them to disk before it returns the new head.
// After an error nothing of them is in the log, and the next Append tries anew.
func (l *Log) Append(events ...Event) (Head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.ready()
	if err == nil && l.size >= l.o.SegmentBytes {
		err = l.rotate()
	}
	if err == nil {
		err = l.append(events...)
	}
	if err != nil {
		err = fmt.Errorf("append to audit log: %w", err)
	}
	l.failed = err
	return l.chain.head, err
}

// ready makes sure that the file is as the last append left it.
func (l *Log) ready() error {
	if l.file == nil {
		return fs.ErrClosed
	}
	if l.dirty {
		if err := l.takeBack(); err != nil {
			return err
		}
	}
	own, err := l.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(l.path)
	if err != nil {
		return err
	}
	if !os.SameFile(own, there) {
		return fmt.Errorf("%s is another file than the one that was opened: somebody put it there", l.path)
	}
	if own.Size() != l.size {
		return fmt.Errorf("%s has %d bytes, want %d: somebody else changed it", l.path, own.Size(), l.size)
	}
	return nil
}

func (l *Log) append(events ...Event) error {
	var data []byte
	head := l.chain.head
	now := l.o.Now()
	for _, e := range events {
		fields, err := canonical(e.Fields, l.o.Scrub)
		if err != nil {
			return fmt.Errorf("event %q: %w", e.Kind, err)
		}
		if data, head, err = appendLine(data, head, now, e.Kind, fields); err != nil {
			return err
		}
	}
	if len(data) == 0 {
		return nil
	}
	return l.write(data, head)
}

// write appends data, whose last line is head. What could not be written and synced whole is
// taken back: a line that nobody may rely on must not stand there.
func (l *Log) write(data []byte, head Head) error {
	_, err := l.file.Write(data)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.dirty = true
		return errors.Join(err, l.takeBack())
	}
	l.size += int64(len(data))
	l.chain.head = head
	return nil
}

// takeBack cuts off what a failed write left.
func (l *Log) takeBack() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < l.size {
		return fmt.Errorf("%s has %d bytes, want %d: somebody else changed it", l.path, info.Size(), l.size)
	}
	if err := l.file.Truncate(l.size); err != nil {
		return err
	}
	l.dirty = false
	return nil
}

// rotate gives the file its number and begins the next. When that fails, all is as before.
func (l *Log) rotate() error {
	old, size, before := l.file, l.size, l.chain
	name := segmentName(l.path, l.chain.number)
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("begin the next file: %q is there already", name)
	}
	if err := os.Rename(l.path, name); err != nil {
		return err
	}
	next, err := l.o.open(l.path, os.O_CREATE|os.O_EXCL)
	if err == nil {
		l.file, l.size = next, 0
		if err = l.append(Event{Segment, l.opening()}); err == nil {
			err = syncDir(l.path)
		}
	}
	if err != nil {
		if next != nil {
			next.Close()
		}
		l.file, l.size, l.chain, l.dirty = old, size, before, false
		return errors.Join(err, os.Rename(name, l.path)) // over the one that was begun
	}
	return old.Close()
}

// syncDir makes the name of a file last.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Head is the last line.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.chain.head
}

// Instance is the random id of the log's genesis line.
func (l *Log) Instance() string { return l.chain.instance }

// Err is why the last append failed; nil when it did not.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Close closes the file. Further calls do nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
