package signature

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"aead.dev/minisign"
)

// Suffix is what a signature file's name has after the module's.
const Suffix = ".minisig"

// MaxBytes is the longest signature that is read; minisign's own are below 400.
const MaxBytes = 4 << 10

// Signature is one signature, not yet verified.
type Signature struct {
	raw  minisign.Signature
	text []byte
}

// Parse reads a signature file.
func Parse(text []byte) (Signature, error) {
	if len(text) > MaxBytes {
		return Signature{}, fmt.Errorf("read signature: it has more than %d bytes", MaxBytes)
	}
	s := Signature{text: bytes.TrimSpace(text)}
	if err := s.raw.UnmarshalText(s.text); err != nil {
		return Signature{}, fmt.Errorf("read signature: %w", unprefixed(err))
	}
	return s, nil
}

// KeyID is the id of the key that the signature says made it.
func (s Signature) KeyID() string { return keyID(s.raw.KeyID) }

// Verify tells whether key made s for module, hashed first or not, and its trusted comment.
func (s Signature) Verify(key Key, module []byte) bool {
	return minisign.Verify(key.public, module, s.text)
}

// Comment is the trusted comment. Nobody vouches for it before [Signature.Verify].
func (s Signature) Comment() (Comment, error) { return parseComment(s.raw.TrustedComment) }

// Comment is what a signer says beside the module, signed with it. What is empty is not said.
type Comment struct {
	// Time is when it was signed, in whole seconds.
	Time time.Time
	// File is the name of the file that was signed, for people.
	File string
	// ID and Version are the plugin's.
	ID, Version string
}

// String is the comment as minisign writes it, fields with tabs between, with ours behind.
func (c Comment) String() string {
	var fields []string
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, name+":"+strings.Map(printable, value))
		}
	}
	if !c.Time.IsZero() {
		add("timestamp", strconv.FormatInt(c.Time.Unix(), 10))
	}
	add("file", c.File)
	fields = append(fields, "hashed")
	add("id", c.ID)
	add("version", c.Version)
	return strings.Join(fields, "\t")
}

// printable keeps a value from being two: tabs and line ends are what separates.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '_'
	}
	return r
}

var errTwice = errors.New("a field stands there twice")

func parseComment(text string) (c Comment, err error) {
	seen := map[string]bool{}
	for field := range strings.SplitSeq(text, "\t") {
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			continue
		}
		if seen[name] { // two readers could take one each
			return Comment{}, fmt.Errorf("read trusted comment: %q: %w", name, errTwice)
		}
		seen[name] = true
		switch name {
		case "timestamp":
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil || seconds < 0 {
				return Comment{}, fmt.Errorf("read trusted comment: timestamp %q, want seconds", value)
			}
			c.Time = time.Unix(seconds, 0).UTC()
		case "file":
			c.File = value
		case "id":
			c.ID = value
		case "version":
			c.Version = value
		}
	}
	return c, nil
}

// Sign signs module, hashed first as minisign does by default.
func (s Secret) Sign(module []byte, c Comment) []byte {
	r := minisign.NewReader(bytes.NewReader(module))
	_, _ = bytes.NewBuffer(nil).ReadFrom(r) // memory does not fail
	return r.SignWithComments(s.private, c.String(), "signature from wasmgate secret key "+s.ID())
}
