package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// Modules keeps the modules of entries in a folder, by their digests. It is made when the
// first one comes. The zero value is the working directory's. Its methods are safe for
// concurrent use.
type Modules struct{ Dir string }

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// path refuses what is no digest: it comes from a file.
func (m Modules) path(digest string) (string, error) {
	if !digestForm.MatchString(digest) {
		return "", fmt.Errorf("got the digest %q, want sha256: and 64 hexadecimal digits", digest)
	}
	return filepath.Join(m.Dir, digest[len("sha256:"):]+".wasm"), nil
}

// Put keeps a module and gives its digest.
func (m Modules) Put(wasm []byte) (digest string, err error) {
	sum := sha256.Sum256(wasm)
	digest = "sha256:" + hex.EncodeToString(sum[:])
	path, err := m.path(digest)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		return "", fmt.Errorf("keep module: %w", err)
	}
	if err := replace(path, wasm); err != nil {
		return "", fmt.Errorf("keep module: %w", err)
	}
	return digest, nil
}

// Get is the module of a digest. What stands on the disk is checked against it, whoever
// may have written there.
func (m Modules) Get(digest string) ([]byte, error) {
	path, err := m.path(digest)
	if err != nil {
		return nil, err
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	if sum := sha256.Sum256(wasm); "sha256:"+hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("read module: %s has the digest sha256:%x, want %s", path, sum, digest)
	}
	return wasm, nil
}

// Delete forgets a module, which may be gone already.
func (m Modules) Delete(digest string) error {
	path, err := m.path(digest)
	if err != nil {
		return err
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// replace writes a file at once: after a crash it holds the old content or the new one.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // when it was not renamed
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
