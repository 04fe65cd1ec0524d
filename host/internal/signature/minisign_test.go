package signature

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/stretchr/testify/require"
)

// minisignWith signs module and a comment of any form.
func minisignWith(s Secret, _ Signature, comment string) []byte {
	r := minisign.NewReader(bytes.NewReader(module))
	_, _ = bytes.NewBuffer(nil).ReadFrom(r)
	return r.SignWithComments(s.private, comment, "test")
}

// program runs the real minisign in dir. It reads passwords from standard input.
func program(t *testing.T, dir, stdin string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("minisign")
	require.NoError(t, err, "run `make setup`")
	c := exec.CommandContext(t.Context(), path, args...)
	c.Dir, c.Stdin = dir, strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	require.NoError(t, err, "minisign %q: %s", args, out)
	return string(out)
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	return data
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
}

// TestMinisign has the program sign what we verify, and verify what we sign.
func TestMinisign(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x.wasm", module)
	program(t, dir, "", "-G", "-W", "-p", "theirs.pub", "-s", "theirs.key")
	theirs, err := ParseKey(string(read(t, dir, "theirs.pub")))
	require.NoError(t, err)

	for name, args := range map[string][]string{"hashed": {"-H"}, "legacy": {"-l"}, "by default": nil} {
		t.Run("theirs, "+name, func(t *testing.T) {
			program(t, dir, "", append([]string{"-S", "-s", "theirs.key", "-m", "x.wasm", "-x", "x.sig", "-t", "id:x\tversion:1"}, args...)...)
			s, err := Parse(read(t, dir, "x.sig"))
			require.NoError(t, err)
			require.Equal(t, theirs.ID(), s.KeyID())
			require.True(t, s.Verify(theirs, module))
			require.False(t, s.Verify(theirs, append([]byte("x"), module...)))
			c, err := s.Comment()
			require.NoError(t, err)
			require.Equal(t, Comment{ID: "x", Version: "1"}, c)
		})
	}

	t.Run("ours", func(t *testing.T) {
		key, secret := pair(t)
		write(t, dir, "ours.pub", key.File())
		write(t, dir, "x.sig", secret.Sign(module, Comment{Time: time.Unix(1, 0), File: "x.wasm", ID: "x", Version: "1"}))
		out := program(t, dir, "", "-V", "-p", "ours.pub", "-m", "x.wasm", "-x", "x.sig")
		require.Contains(t, out, "timestamp:1\tfile:x.wasm\thashed\tid:x\tversion:1")
		out = program(t, dir, "", "-V", "-P", key.String(), "-m", "x.wasm", "-x", "x.sig")
		require.Contains(t, out, "verified")

		// Our open secret key is one of theirs.
		file, err := secret.File("")
		require.NoError(t, err)
		write(t, dir, "ours.key", file)
		program(t, dir, "", "-S", "-s", "ours.key", "-m", "x.wasm", "-x", "x.sig")
		s, err := Parse(read(t, dir, "x.sig"))
		require.NoError(t, err)
		require.True(t, s.Verify(key, module))
		c, err := s.Comment()
		require.NoError(t, err)
		require.Equal(t, "x.wasm", c.File)
		require.False(t, c.Time.IsZero())
	})
}

// TestMinisignPassword has each open the other's protected key. Each opening takes 1 GiB
// and two seconds, so there are no more of them.
func TestMinisignPassword(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x.wasm", module)
	program(t, dir, "open sesame\nopen sesame\n", "-G", "-p", "theirs.pub", "-s", "theirs.key")
	file := read(t, dir, "theirs.key")
	require.True(t, IsProtected(file))
	theirs, err := ParseSecret(file, "open sesame")
	require.NoError(t, err)
	key, err := ParseKey(string(read(t, dir, "theirs.pub")))
	require.NoError(t, err)
	require.Equal(t, key, theirs.Public())

	ours, err := theirs.File("another")
	require.NoError(t, err)
	write(t, dir, "ours.key", ours)
	program(t, dir, "another\n", "-S", "-s", "ours.key", "-m", "x.wasm", "-x", "x.sig")
	s, err := Parse(read(t, dir, "x.sig"))
	require.NoError(t, err)
	require.True(t, s.Verify(key, module))

	_, err = ParseSecret(cheap(t, file), "open sesam")
	require.ErrorContains(t, err, "read secret key: the password does not open it")
}

// cheap is a protected key that is as quick to try as an attacker would like, and that no
// password opens.
func cheap(t *testing.T, file []byte) []byte {
	t.Helper()
	comment, text, _ := strings.Cut(string(file), "\n")
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	require.NoError(t, err)
	binary.LittleEndian.PutUint64(key[38:], 1<<15) // scrypt's limits: operations, memory
	binary.LittleEndian.PutUint64(key[46:], 1<<20)
	return []byte(comment + "\n" + base64.StdEncoding.EncodeToString(key))
}
