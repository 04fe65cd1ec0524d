package signature

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRules(t *testing.T) {
	acme, acmeSecret := pair(t)
	next, nextSecret := pair(t)
	solo, soloSecret := pair(t)
	stranger, strangerSecret := pair(t)
	now := Comment{Time: time.Unix(1, 0)}
	rules := Rules{
		Signers: []Signer{
			{Rule: "plugins.signers[0]", Keys: []Key{acme, next}, Plugins: []string{"acme-*", "tool"}},
			{Rule: "plugins.signers[1]", Keys: []Key{solo}, Plugins: []string{"solo"}},
		},
		Unsigned: []Unsigned{{Rule: "plugins.unsigned[0]", Plugins: []string{"dev-*", "tool"}, From: []Origin{Dir, File}}},
	}
	broken := func(text []byte) []byte {
		return []byte(strings.Replace(string(text), "timestamp:1", "timestamp:2", 1))
	}
	for name, test := range map[string]struct {
		claim     Claim
		key, rule string
		refused   []string
	}{
		"signed":                                     {Claim{ID: "acme-a", Origin: OCI, Signatures: [][]byte{acmeSecret.Sign(module, now)}}, acme.ID(), "plugins.signers[0]", nil},
		"signed by the second":                       {Claim{ID: "acme-a", Origin: HTTPS, Signatures: [][]byte{nextSecret.Sign(module, now)}}, next.ID(), "plugins.signers[0]", nil},
		"the second of two":                          {Claim{ID: "acme-a", Origin: OCI, Signatures: [][]byte{strangerSecret.Sign(module, now), nextSecret.Sign(module, now)}}, next.ID(), "plugins.signers[0]", nil},
		"unsigned from dir":                          {Claim{ID: "dev-a", Origin: Dir}, "", "plugins.unsigned[0]", nil},
		"both ways, unsigned":                        {Claim{ID: "tool", Origin: Dir}, "", "plugins.unsigned[0]", nil},
		"both ways, signed":                          {Claim{ID: "tool", Origin: OCI, Signatures: [][]byte{acmeSecret.Sign(module, now)}}, acme.ID(), "plugins.signers[0]", nil},
		"unsigned from oci":                          {Claim{ID: "dev-a", Origin: OCI}, "", "", []string{"got no signature", `want plugins.unsigned to name "dev-a" with from: [oci]`}},
		"unsigned":                                   {Claim{ID: "acme-a", Origin: Dir}, "", "", []string{"got no signature", "want one by key " + acme.ID() + " (plugins.signers[0]) or " + next.ID()}},
		"no rule":                                    {Claim{ID: "other", Origin: Dir, Signatures: [][]byte{acmeSecret.Sign(module, now)}}, "", "", []string{`plugin id "other", which no rule names`}},
		"another's key":                              {Claim{ID: "acme-a", Origin: OCI, Signatures: [][]byte{soloSecret.Sign(module, now)}}, "", "", []string{"by key " + solo.ID() + ", which plugins.signers[1] lets sign solo", acme.ID()}},
		"a stranger's key":                           {Claim{ID: "acme-a", Origin: OCI, Signatures: [][]byte{strangerSecret.Sign(module, now)}}, "", "", []string{"by key " + stranger.ID() + ", which no rule names"}},
		"of other bytes":                             {Claim{ID: "solo", Origin: OCI, Signatures: [][]byte{soloSecret.Sign([]byte("other"), now)}}, "", "", []string{"by key " + solo.ID() + " that does not fit"}},
		"a changed comment":                          {Claim{ID: "solo", Origin: OCI, Signatures: [][]byte{broken(soloSecret.Sign(module, now))}}, "", "", []string{"does not fit"}},
		"garbage where unsigned is allowed":          {Claim{ID: "dev-a", Origin: Dir, Signatures: [][]byte{[]byte("x")}}, "", "", []string{"read signature"}},
		"broken where unsigned is allowed":           {Claim{ID: "tool", Origin: Dir, Signatures: [][]byte{broken(acmeSecret.Sign(module, now))}}, "", "", []string{"does not fit"}},
		"a stranger's where unsigned is allowed":     {Claim{ID: "dev-a", Origin: Dir, Signatures: [][]byte{strangerSecret.Sign(module, now)}}, "", "", []string{"which no rule names"}},
		"signed under another id":                    {Claim{ID: "acme-a", Origin: OCI, Signatures: [][]byte{acmeSecret.Sign(module, Comment{ID: "acme-b"})}}, "", "", []string{`id "acme-b" in the trusted comment by key ` + acme.ID() + " (plugins.signers[0])", `the plugin's, "acme-a"`}},
		"signed with another version":                {Claim{ID: "acme-a", Version: "1", Origin: OCI, Signatures: [][]byte{acmeSecret.Sign(module, Comment{Version: "2"})}}, "", "", []string{`version "2"`, `the manifest's, "1"`}},
		"signed with its id and version":             {Claim{ID: "acme-a", Version: "2", Origin: OCI, Signatures: [][]byte{acmeSecret.Sign(module, Comment{ID: "acme-a", Version: "2"})}}, acme.ID(), "plugins.signers[0]", nil},
		"a comment that two readers take for others": {Claim{ID: "acme-a", Origin: OCI, Signatures: [][]byte{signed(acmeSecret, "id:acme-a\tid:acme-b")}}, "", "", []string{"a field stands there twice"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.claim.Module = module
			v, err := rules.Check(&test.claim)
			if test.refused == nil {
				require.NoError(t, err)
				require.Equal(t, test.key, v.KeyID)
				require.Equal(t, test.rule, v.Rule)
				return
			}
			require.Error(t, err)
			for _, want := range test.refused {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

// signed is a signature with a comment that [Secret.Sign] does not write.
func signed(s Secret, comment string) []byte {
	file := s.Sign(module, Comment{})
	parsed, err := Parse(file)
	if err != nil {
		panic(err)
	}
	return minisignWith(s, parsed, comment)
}

func TestWithoutRules(t *testing.T) {
	_, stranger := pair(t)
	var rules Rules
	for _, signatures := range [][][]byte{nil, {[]byte("garbage")}, {stranger.Sign(module, Comment{})}} {
		v, err := rules.Check(&Claim{ID: "a", Origin: Dir, Module: module, Signatures: signatures})
		require.NoError(t, err)
		require.Equal(t, Verdict{}, v)
		for _, origin := range []Origin{File, HTTPS, OCI} {
			_, err := rules.Check(&Claim{ID: "a", Origin: origin, Module: module, Signatures: signatures})
			require.ErrorContains(t, err, `plugin "a" from `+string(origin)+", and no rule about it")
		}
	}
	// With rules about unsigned plugins alone there is still nothing to check a signature with.
	rules.Unsigned = []Unsigned{{Rule: "plugins.unsigned[0]", Plugins: []string{"*"}, From: []Origin{OCI}}}
	v, err := rules.Check(&Claim{ID: "a", Origin: OCI, Module: module, Signatures: [][]byte{stranger.Sign(module, Comment{})}})
	require.NoError(t, err)
	require.Equal(t, Verdict{Rule: "plugins.unsigned[0]"}, v)
	_, err = rules.Check(&Claim{ID: "a", Origin: Dir, Module: module, Signatures: [][]byte{stranger.Sign(module, Comment{})}})
	require.ErrorContains(t, err, "no signer to check it with")
}
