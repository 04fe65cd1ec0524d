package recording

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// store keeps the files of recordings, a folder a plugin, each bounded in bytes. It belongs
// to one goroutine.
type store struct {
	dir     string
	max     int64
	folders map[string]*folder
}

// folder is the files of one plugin, the oldest first, as their names say.
type folder struct {
	files []file
	bytes int64
}

type file struct {
	name string
	size int64
}

const suffix = ".json"

// open reads which files there are, once.
func (s *store) open(plugin string) (*folder, error) {
	if f := s.folders[plugin]; f != nil {
		return f, nil
	}
	dir := filepath.Join(s.dir, plugin)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	f := &folder{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) {
			if strings.HasPrefix(e.Name(), staged) { // of a gateway that was killed
				_ = os.Remove(filepath.Join(dir, e.Name())) // what stays is removed next time
			}
			continue
		}
		if info, err := e.Info(); err == nil {
			f.files = append(f.files, file{e.Name(), info.Size()})
			f.bytes += info.Size()
		}
	}
	s.folders[plugin] = f
	return f, nil
}

const staged = ".staged-"

var errTooLarge = errors.New("it is larger than all that its plugin may keep")

// write keeps one recording, whole or not at all, and removes the oldest that are too much.
func (s *store) write(plugin, name string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write recording %q of plugin %q: %w", name, plugin, err)
		}
	}()
	size := int64(len(data))
	if size > s.max {
		return errTooLarge
	}
	f, err := s.open(plugin)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, plugin)
	// First room, then the file: the bound holds at every moment.
	for len(f.files) > 0 && f.bytes+size > s.max {
		if err := os.Remove(filepath.Join(dir, f.files[0].name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f.bytes -= f.files[0].size
		f.files = f.files[1:]
	}
	tmp, err := os.CreateTemp(dir, staged) // with mode 0600
	if errors.Is(err, fs.ErrNotExist) {    // somebody removed the folder
		delete(s.folders, plugin)
	}
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, name+suffix))
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	f.files = append(f.files, file{name + suffix, size})
	f.bytes += size
	return nil
}
