package signature

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"
)

// Key is a public key. The zero value verifies nothing.
type Key struct{ public minisign.PublicKey }

// ParseKey reads a public key: the line of base64 that minisign prints, or its whole file.
func ParseKey(text string) (Key, error) {
	var k Key
	if err := k.public.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return Key{}, fmt.Errorf("read public key: %w", unprefixed(err))
	}
	return k, nil
}

// ID is the key's id as minisign writes it. It is a hint and no proof: anybody can choose it.
func (k Key) ID() string { return keyID(k.public.ID()) }

// String is the key as [ParseKey] takes it, without a comment.
func (k Key) String() string { return k.public.String() }

// MarshalText is [Key.String].
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// File is the key as minisign keeps it in a .pub file.
func (k Key) File() []byte {
	text, _ := k.public.MarshalText() // it never returns an error
	return append(text, '\n')
}

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// Secret is a secret key. It prints as its id.
type Secret struct{ private minisign.PrivateKey }

// Generate makes a new pair.
func Generate() (Key, Secret, error) {
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, Secret{}, fmt.Errorf("generate key: %w", err)
	}
	return Key{public}, Secret{private}, nil
}

// errPassword is told when a password is the thing that is wrong, or may be.
var errPassword = errors.New("the password does not open it, or the file is damaged")

// ParseSecret reads minisign's secret key file. A protected one needs its password; an
// open one takes none. Opening takes a second and 1 GiB of memory: that is what protects it.
func ParseSecret(file []byte, password string) (Secret, error) {
	file = bytes.TrimSpace(file)
	var s Secret
	var err error
	if IsProtected(file) {
		if s.private, err = minisign.DecryptKey(password, file); err != nil {
			return Secret{}, fmt.Errorf("read secret key: %w", errPassword)
		}
		return s, nil
	}
	if err = s.private.UnmarshalText(file); err != nil {
		return Secret{}, fmt.Errorf("read secret key: %w", unprefixed(err))
	}
	return s, nil
}

// IsProtected tells whether a secret key file needs a password.
func IsProtected(file []byte) bool { return minisign.IsEncrypted(bytes.TrimSpace(file)) }

// File is the key as minisign keeps it, protected by password unless that is empty.
func (s Secret) File(password string) ([]byte, error) {
	var text []byte
	var err error
	if password == "" {
		text, err = s.private.MarshalText()
	} else {
		text, err = minisign.EncryptKey(password, s.private)
	}
	if err != nil {
		return nil, fmt.Errorf("protect secret key: %w", err)
	}
	return append(text, '\n'), nil
}

// ID is the key's id as minisign writes it.
func (s Secret) ID() string { return keyID(s.private.ID()) }

// Public is the public half.
func (s Secret) Public() Key { return Key{s.private.Public().(minisign.PublicKey)} }

// String is the key's id, so that no format verb prints the key.
func (s Secret) String() string { return "secret key " + s.ID() }

// GoString is [Secret.String].
func (s Secret) GoString() string { return s.String() }

// unprefixed is an error of the library without its name at the front.
func unprefixed(err error) error { return errors.New(strings.TrimPrefix(err.Error(), "minisign: ")) }
