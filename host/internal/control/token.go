package control

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

const tokenBytes = 32

// token is known by its hash only: comparing hashes takes the same time whatever differs.
type token [sha256.Size]byte

// openToken reads dir/admin.token, or makes it. created says which.
func openToken(dir string) (t token, created bool, err error) {
	path := filepath.Join(dir, "admin.token")
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		t, err = createToken(dir, path)
		return t, true, err
	}
	if err != nil {
		return t, false, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return t, false, fmt.Errorf("%q has mode %#o, want 0600: others can read the admin token", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return t, false, err
	}
	text := strings.TrimSpace(string(data))
	if raw, err := base64.RawURLEncoding.DecodeString(text); err != nil || len(raw) < tokenBytes {
		return t, false, fmt.Errorf("%q holds no token, want %d bytes in base64url; remove it to make a new one", path, tokenBytes)
	}
	return sha256.Sum256([]byte(text)), false, nil
}

// createToken writes beside and renames: a token that is half written would be refused
// at every later start.
func createToken(dir, path string) (t token, err error) {
	raw := make([]byte, tokenBytes)
	rand.Read(raw) // never fails: crypto/rand
	text := base64.RawURLEncoding.EncodeToString(raw)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return t, err
	}
	f, err := os.CreateTemp(dir, ".admin.token") // mode 0600
	if err != nil {
		return t, err
	}
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return t, errors.Join(err, os.Remove(f.Name()))
	}
	return sha256.Sum256([]byte(text)), nil
}

// allows tells whether r has the token, once and as Bearer (RFC 6750 section 2.1).
func (t *token) allows(r *http.Request) bool {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return false
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	got := sha256.Sum256([]byte(text))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], t[:]) == 1
}
