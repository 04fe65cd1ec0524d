package guest

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// diskCache guards the directory in which wazero keeps native code. wazero checks the code
// by a checksum, but not the offsets beside it, and refuses a module whose file is damaged
// rather than compile it anew: so each file gets a checksum of our own beside it, and what
// does not fit it is removed before wazero looks.
type diskCache struct {
	dir string

	mu     sync.Mutex
	sealed map[string]bool // the files that need no look any more
}

const (
	sumSuffix     = ".sum"
	cacheMaxBytes = 1 << 30
	// cacheMaxFiles keeps a gateway that compiles ever new modules from looking through ever
	// more files: beyond it the oldest half goes, without harm to what runs.
	cacheMaxFiles = 2000
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openDiskCache makes the directory, refuses one that others may write to, and removes
// what is damaged, unfinished, or oldest beyond a GiB.
func openDiskCache(dir string) (*diskCache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open compilation cache: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open compilation cache: %w", err)
	}
	// Who can write here can run code in the gateway.
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("open compilation cache: %q may be written by others: got mode %v, want 0700", dir, mode)
	}
	c := &diskCache{dir: dir, sealed: make(map[string]bool)}
	return c, c.sweep()
}

// entry is one file of native code.
type entry struct {
	path string
	size int64
	used time.Time
}

// entries is every file of native code below the directory.
func (c *diskCache) entries() (list []entry, err error) {
	err = filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, sumSuffix) {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) { // another gateway removed it
			return nil
		}
		if err == nil {
			list = append(list, entry{path, info.Size(), info.ModTime()})
		}
		return err
	})
	return list, err
}

func (c *diskCache) sweep() error {
	list, err := c.entries()
	if err != nil {
		return fmt.Errorf("open compilation cache: %w", err)
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(b.used.UnixNano(), a.used.UnixNano()) })
	var total int64
	for _, e := range list {
		unfinished := strings.HasSuffix(e.path, ".tmp") && time.Since(e.used) > time.Hour
		if total += e.size; total > cacheMaxBytes || unfinished || !strings.HasSuffix(e.path, ".tmp") && !e.intact() {
			if err := e.remove(); err != nil {
				return fmt.Errorf("open compilation cache: %w", err)
			}
		}
	}
	return nil
}

// seal writes the checksums of files that have none: those that wazero just wrote. It is
// safe for concurrent use.
func (c *diskCache) seal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || c.sealed[path] || strings.HasSuffix(path, sumSuffix) || strings.HasSuffix(path, ".tmp") {
			return err
		}
		if _, err := os.Stat(path + sumSuffix); err != nil {
			sum, err := entry{path: path}.sum()
			if errors.Is(err, fs.ErrNotExist) { // another gateway removed it
				return nil
			}
			if err == nil {
				err = os.WriteFile(path+sumSuffix, sum, 0o600)
			}
			if err != nil {
				return err
			}
		}
		c.sealed[path] = true
		return nil
	})
	if err == nil && len(c.sealed) > cacheMaxFiles {
		err = c.halve()
	}
	if err != nil {
		return fmt.Errorf("seal compilation cache: %w", err)
	}
	return nil
}

// halve removes the oldest files.
func (c *diskCache) halve() error {
	list, err := c.entries()
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.used.UnixNano(), b.used.UnixNano()) })
	for _, e := range list[:len(list)/2] {
		err = errors.Join(err, e.remove())
	}
	clear(c.sealed) // those that are left are found again
	return err
}

// clear removes all native code.
func (c *diskCache) clear() error {
	list, err := c.entries()
	for _, e := range list {
		err = errors.Join(err, e.remove())
	}
	return err
}

func (e entry) sum() ([]byte, error) {
	f, err := os.Open(e.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := crc32.New(castagnoli)
	n, err := io.Copy(h, f)
	return binary.LittleEndian.AppendUint64(h.Sum(nil), uint64(n)), err
}

func (e entry) intact() bool {
	want, err := os.ReadFile(e.path + sumSuffix)
	if err != nil {
		return false
	}
	got, err := e.sum()
	return err == nil && bytes.Equal(got, want)
}

func (e entry) remove() error {
	err := os.Remove(e.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if sumErr := os.Remove(e.path + sumSuffix); !errors.Is(sumErr, fs.ErrNotExist) {
		err = errors.Join(err, sumErr)
	}
	return err
}
