package signature

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var module = []byte("\x00asm\x01\x00\x00\x00 of a plugin")

func pair(t testing.TB) (Key, Secret) {
	t.Helper()
	k, s, err := Generate()
	require.NoError(t, err)
	return k, s
}

func TestSignAndVerify(t *testing.T) {
	key, secret := pair(t)
	other, _ := pair(t)
	when := time.Unix(1_700_000_000, 0).UTC()
	text := secret.Sign(module, Comment{Time: when, File: "a\tid:evil.wasm", ID: "a", Version: "1.2"})
	s, err := Parse(text)
	require.NoError(t, err)
	require.Equal(t, key.ID(), s.KeyID())
	require.True(t, s.Verify(key, module))
	require.False(t, s.Verify(other, module))
	c, err := s.Comment()
	require.NoError(t, err)
	require.Equal(t, Comment{Time: when, File: "a_id:evil.wasm", ID: "a", Version: "1.2"}, c)

	// One byte of anything that is signed is enough to break it.
	for i := range module {
		changed := append([]byte(nil), module...)
		changed[i] ^= 1
		require.False(t, s.Verify(key, changed), i)
	}
	changed, err := Parse([]byte(strings.Replace(string(text), "version:1.2", "version:1.3", 1)))
	require.NoError(t, err)
	require.False(t, changed.Verify(key, module), "the trusted comment was changed")
	unsigned, err := Parse([]byte(strings.Replace(string(text), "untrusted comment: s", "untrusted comment: S", 1)))
	require.NoError(t, err)
	require.True(t, unsigned.Verify(key, module), "the untrusted comment is nobody's word")
}

func TestKeysRoundTrip(t *testing.T) {
	key, secret := pair(t)
	for _, text := range []string{key.String(), string(key.File()), " " + key.String() + "\r\n", strings.ReplaceAll(string(key.File()), "\n", "\r\n")} {
		got, err := ParseKey(text)
		require.NoError(t, err)
		require.Equal(t, key, got)
	}
	file, err := secret.File("")
	require.NoError(t, err)
	require.False(t, IsProtected(file))
	got, err := ParseSecret(file, "")
	require.NoError(t, err)
	require.Equal(t, key, got.Public())
	shown := fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, secret)
	require.Equal(t, strings.Repeat("secret key "+key.ID()+" ", 4), shown+" ")
}

func TestGarbage(t *testing.T) {
	for _, text := range []string{"", "RW", "untrusted comment: x", "untrusted comment: x\n", strings.Repeat("A", 56), strings.Repeat("\xff", 100)} {
		_, err := ParseKey(text)
		assert.ErrorContains(t, err, "read public key: ", "%q", text)
		_, err = ParseSecret([]byte(text), "")
		assert.ErrorContains(t, err, "read secret key: ", "%q", text)
		_, err = Parse([]byte(text))
		assert.ErrorContains(t, err, "read signature: ", "%q", text)
	}
	_, err := Parse([]byte(strings.Repeat("x", MaxBytes+1)))
	require.ErrorContains(t, err, "more than 4096 bytes")
	for text, want := range map[string]string{
		"id:a\tid:b": `"id": a field stands there twice`, "timestamp:x": `timestamp "x", want seconds`, "timestamp:-1": "want seconds",
	} {
		_, err := parseComment(text)
		require.ErrorContains(t, err, want)
	}
	c, err := parseComment("whatever people write: here\tand there")
	require.NoError(t, err)
	require.Equal(t, Comment{}, c)
}

func FuzzParse(f *testing.F) {
	key, secret := pair(f)
	text := secret.Sign(module, Comment{Time: time.Unix(1, 0), ID: "a", Version: "1"})
	f.Add(text)
	f.Add([]byte("untrusted comment: \nAAAA\ntrusted comment: \nAAAA\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil || !s.Verify(key, module) {
			return
		}
		// What verifies says what was signed and nothing else.
		want, err := Parse(text)
		require.NoError(t, err)
		require.True(t, s.raw.Equal(want.raw), "%q", data)
	})
}
