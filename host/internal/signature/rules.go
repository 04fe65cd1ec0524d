package signature

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Origin is where a module comes from.
type Origin string

// The origins. Built-in plugins have none: they are part of the binary, and no rule is
// asked about them.
const (
	Dir   Origin = "dir"   // plugins.dir, which the operator fills
	File  Origin = "file"  // file: in a policy
	HTTPS Origin = "https" // https: in a policy
	OCI   Origin = "oci"   // oci: in a policy
)

// Rules are the operator's. The zero value takes what is in plugins.dir, signed or not, and
// nothing else. As soon as there is one rule, an id that none names is refused. They are
// safe for concurrent use; nobody changes them.
type Rules struct {
	Signers  []Signer
	Unsigned []Unsigned
}

// Signer says which keys may sign which plugins.
type Signer struct {
	// Rule names it in messages, such as plugins.signers[0].
	Rule string
	// Keys are the keys, of which one is enough.
	Keys []Key
	// Plugins are patterns of ids: * stands for any text, ? for one character.
	Plugins []string
}

// Unsigned says which plugins may have no signature.
type Unsigned struct {
	// Rule names it in messages.
	Rule string
	// Plugins are patterns of ids, as a Signer's.
	Plugins []string
	// From are the origins that it holds for.
	From []Origin
}

// Claim is a module that wants to be loaded.
type Claim struct {
	// ID is the plugin's id, Version its manifest's; Version is empty without a manifest.
	ID, Version string
	Origin      Origin
	// Module is the original bytes.
	Module []byte
	// Signatures are the texts of its signatures, of which one must do; none is unsigned.
	Signatures [][]byte
}

// Verdict says why a module is trusted.
type Verdict struct {
	// KeyID is whose signature was verified; empty when none was.
	KeyID string
	// Rule is the rule that let it in; empty when there are no rules.
	Rule string
	// Comment is the verified trusted comment.
	Comment Comment
}

// Refusal is why a module is not trusted.
type Refusal struct{ Got, Want string }

// Error is "got X, want Y".
func (r *Refusal) Error() string { return "got " + r.Got + ", want " + r.Want }

// Check judges a claim. The error is a *[Refusal].
//
// Without any signer a signature is not looked at: there is nothing to check it with. With
// one, a signature that is there must be good, even where none is needed: a broken one says
// that something changed on the way.
func (r *Rules) Check(c *Claim) (Verdict, error) {
	if len(r.Signers) == 0 && len(r.Unsigned) == 0 {
		if c.Origin == Dir {
			return Verdict{}, nil
		}
		return Verdict{}, &Refusal{fmt.Sprintf("plugin %q from %s, and no rule about it", c.ID, c.Origin),
			"a rule in plugins.signers, or in plugins.unsigned with from: [" + string(c.Origin) + "]"}
	}
	mine := r.signers(c.ID)
	if len(mine) == 0 && !slices.ContainsFunc(r.Unsigned, func(u Unsigned) bool { return matches(u.Plugins, c.ID) }) {
		return Verdict{}, &Refusal{fmt.Sprintf("plugin id %q, which no rule names", c.ID), "one that plugins.signers or plugins.unsigned names"}
	}
	if len(c.Signatures) > 0 && len(r.Signers) > 0 {
		return r.verifyAny(c, mine)
	}
	for _, u := range r.Unsigned {
		if matches(u.Plugins, c.ID) && slices.Contains(u.From, c.Origin) {
			return Verdict{Rule: u.Rule}, nil
		}
	}
	got := "no signature"
	if len(c.Signatures) > 0 {
		got = "a signature, and no signer to check it with"
	}
	return Verdict{}, &Refusal{got, wanted(mine, c)}
}

// verifyAny wants one of c's signatures to be good: while keys change, a module has one by
// the old key and one by the new. The error is the first one's.
func (r *Rules) verifyAny(c *Claim, mine []Signer) (v Verdict, err error) {
	for i, text := range c.Signatures {
		one, e := r.verify(c, text, mine)
		if e == nil {
			return one, nil
		}
		if i == 0 {
			err = e
		}
	}
	return v, err
}

// verify wants a signature to be by one of the signers of c's id.
func (r *Rules) verify(c *Claim, text []byte, mine []Signer) (Verdict, error) {
	s, err := Parse(text)
	if err != nil {
		return Verdict{}, &Refusal{err.Error(), wanted(mine, c)}
	}
	known := false
	for _, signer := range mine {
		for _, key := range signer.Keys {
			if key.ID() != s.KeyID() {
				continue
			}
			known = true
			if s.Verify(key, c.Module) {
				return vouched(s, signer, c)
			}
		}
	}
	if known {
		return Verdict{}, &Refusal{fmt.Sprintf("a signature by key %s that does not fit the module or its own trusted comment", s.KeyID()), wanted(mine, c)}
	}
	for _, signer := range r.Signers {
		if slices.ContainsFunc(signer.Keys, func(k Key) bool { return k.ID() == s.KeyID() }) {
			return Verdict{}, &Refusal{fmt.Sprintf("a signature by key %s, which %s lets sign %s", s.KeyID(), signer.Rule, strings.Join(signer.Plugins, ", ")), wanted(mine, c)}
		}
	}
	return Verdict{}, &Refusal{fmt.Sprintf("a signature by key %s, which no rule names", s.KeyID()), wanted(mine, c)}
}

// vouched holds what the signer says against what the module says: a plugin that is signed
// under one id must not pass as another, whoever renames its file.
func vouched(s Signature, signer Signer, c *Claim) (Verdict, error) {
	comment, err := s.Comment()
	if err != nil {
		return Verdict{}, &Refusal{err.Error(), "a trusted comment as minisign writes it"}
	}
	by := fmt.Sprintf(" in the trusted comment by key %s (%s)", s.KeyID(), signer.Rule)
	if comment.ID != "" && comment.ID != c.ID {
		return Verdict{}, &Refusal{"id " + strconv.Quote(comment.ID) + by, "the plugin's, " + strconv.Quote(c.ID)}
	}
	if comment.Version != "" && comment.Version != c.Version {
		return Verdict{}, &Refusal{"version " + strconv.Quote(comment.Version) + by, "the manifest's, " + strconv.Quote(c.Version)}
	}
	return Verdict{KeyID: s.KeyID(), Rule: signer.Rule, Comment: comment}, nil
}

// signers are those that may sign id.
func (r *Rules) signers(id string) []Signer {
	var list []Signer
	for _, s := range r.Signers {
		if matches(s.Plugins, id) {
			list = append(list, s)
		}
	}
	return list
}

func matches(patterns []string, id string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, id)
		return ok && err == nil
	})
}

// wanted says whose signature would do.
func wanted(signers []Signer, c *Claim) string {
	if len(signers) == 0 {
		return fmt.Sprintf("plugins.unsigned to name %q with from: [%s], or plugins.signers to name its key", c.ID, c.Origin)
	}
	var keys []string
	for _, s := range signers {
		for _, k := range s.Keys {
			keys = append(keys, k.ID()+" ("+s.Rule+")")
		}
	}
	return "one by key " + strings.Join(keys, " or ")
}
