package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Store keeps modules by their SHA-256 below a folder. Several processes may use one folder
// at once: a file appears whole or not at all, and its name says what is in it. It is safe
// for concurrent use. It is made by [OpenStore] and needs no closing.
type Store struct {
	dir string
	max int64
}

// ErrDamaged says that a file of the store is not what its name says.
var ErrDamaged = errors.New("damaged")

// OpenStore uses dir, which is made when the first module comes. max is the longest module.
func OpenStore(dir string, max int64) *Store { return &Store{dir: dir, max: max} }

const digestPrefix = "sha256:"

// Digest is a SHA-256 as text, "sha256:" and hex.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return digestPrefix + hex.EncodeToString(sum[:])
}

func (s *Store) path(digest string) string {
	return filepath.Join(s.dir, "sha256", strings.TrimPrefix(digest, digestPrefix))
}

// Put keeps data and gives its digest. Data that is there already is only marked as fresh
// for [Store.Collect].
func (s *Store) Put(data []byte) (digest string, err error) {
	digest = Digest(data)
	path := s.path(digest)
	if _, err := s.Get(digest); err == nil {
		now := time.Now()
		return digest, os.Chtimes(path, now, now)
	}
	if err := replace(path, data); err != nil {
		return "", fmt.Errorf("keep module %s: %w", digest, err)
	}
	return digest, nil
}

// Get is the module of a digest, verified. The error is [fs.ErrNotExist] where there is none,
// and [ErrDamaged] where there was another, which is removed: it is of no use to anybody.
func (s *Store) Get(digest string) ([]byte, error) {
	f, err := os.Open(s.path(digest))
	if err != nil {
		return nil, fmt.Errorf("get module %s: %w", digest, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, s.max+1))
	if err != nil {
		return nil, fmt.Errorf("get module %s: %w", digest, err)
	}
	if int64(len(data)) > s.max {
		return nil, fmt.Errorf("get module %s: it has more than %d bytes (plugins.module_bytes)", digest, s.max)
	}
	if got := Digest(data); got != digest {
		return nil, errors.Join(fmt.Errorf("get module %s: %w: the file is %s", digest, ErrDamaged, got), os.Remove(s.path(digest)))
	}
	return data, nil
}

// fresh is how long a module that nothing refers to yet is left alone: whoever put it there
// may be about to write down why.
const fresh = time.Hour

// Collect removes the modules that keep does not want, and what writers left behind that
// were broken off, unless they came within the last hour. It gives how many it removed.
func (s *Store) Collect(keep func(digest string) bool, now time.Time) (removed int, err error) {
	dir := filepath.Join(s.dir, "sha256")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("collect modules: %w", err)
	}
	var errs []error
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || now.Sub(info.ModTime()) < fresh || keep(digestPrefix+e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			errs = append(errs, err)
			continue
		}
		removed++
	}
	return removed, errors.Join(errs...)
}

// replace makes data the content of path at once, on the disk when it returns, readable by
// its owner alone.
func replace(path string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = io.Copy(f, bytes.NewReader(data))
	if err == nil {
		err = f.Sync() // else a power cut leaves an empty file under the new name
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
