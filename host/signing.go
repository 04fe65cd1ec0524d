package host

import (
	"fmt"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/signature"
)

// SignatureSuffix is what a signature file's name has after its module's.
const SignatureSuffix = signature.Suffix

// KeyPair is a new pair of signing keys, as the files of minisign.
type KeyPair struct {
	// ID is what messages and rules call the pair.
	ID string
	// Public is for the rules of those who trust it, Secret for the signer alone.
	Public, Secret []byte
}

// GenerateKey makes a pair whose secret key is protected by password, or open when that is
// empty. Protecting takes a second and 1 GiB of memory.
func GenerateKey(password string) (*KeyPair, error) {
	public, secret, err := signature.Generate()
	if err != nil {
		return nil, err
	}
	file, err := secret.File(password)
	if err != nil {
		return nil, err
	}
	return &KeyPair{ID: public.ID(), Public: public.File(), Secret: file}, nil
}

// IsProtectedKey tells whether a secret key file needs a password.
func IsProtectedKey(file []byte) bool { return signature.IsProtected(file) }

// Signing is for [SignPlugin].
type Signing struct {
	// Key is the secret key file, Password what opens it; empty for an open one.
	Key      []byte
	Password string
	// File is the module's file name, which the signature mentions; may be empty.
	File string
	// Now is when; needed.
	Now time.Time
}

// Signed is what a signature says.
type Signed struct {
	KeyID string `json:"key_id"`
	// ID and Version are the plugin's; empty where the signer did not say.
	ID      string `json:"id,omitempty"`
	Version string `json:"version,omitempty"`
	// Time is when it was signed; zero where the signer did not say.
	Time time.Time `json:"time,omitzero"`
	// Rule is the rule of the configuration that it satisfies; empty without one.
	Rule string `json:"rule,omitempty"`
}

// SignPlugin signs a module. The signature says which plugin and which version it is, so that
// it is of no use for another.
func SignPlugin(module []byte, o Signing) (text []byte, s *Signed, err error) {
	id, version, err := identity(module, "")
	if err != nil {
		return nil, nil, fmt.Errorf("sign: %w", err)
	}
	secret, err := signature.ParseSecret(o.Key, o.Password)
	if err != nil {
		return nil, nil, fmt.Errorf("sign: %w", err)
	}
	c := signature.Comment{Time: o.Now.Truncate(time.Second).UTC(), File: o.File, ID: id, Version: version}
	return secret.Sign(module, c), &Signed{KeyID: secret.ID(), ID: id, Version: version, Time: c.Time}, nil
}

// VerifyPlugin verifies a module's signature with one of keys, each a line of base64 or a
// file's content, and that it speaks of this module.
func VerifyPlugin(module, text []byte, keys []string) (*Signed, error) {
	signer := signature.Signer{Rule: "--key", Plugins: []string{"*"}}
	for _, k := range keys {
		key, err := signature.ParseKey(k)
		if err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		signer.Keys = append(signer.Keys, key)
	}
	id, version, err := identity(module, "")
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	claim := &signature.Claim{ID: id, Version: version, Module: module}
	if len(text) > 0 {
		claim.Signatures = [][]byte{text}
	}
	v, err := (&signature.Rules{Signers: []signature.Signer{signer}}).Check(claim)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	s := signed(v)
	s.Rule = ""
	return s, nil
}

func signed(v signature.Verdict) *Signed {
	return &Signed{KeyID: v.KeyID, ID: v.Comment.ID, Version: v.Comment.Version, Time: v.Comment.Time, Rule: v.Rule}
}
