package source

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/source/sourcetest"
)

const someSignature = "untrusted comment: none of ours\nAAAA\ntrusted comment: id:a\nBBBB\n"

// TestRegistry pushes with ours and pulls with ours and with oras, and the other way round.
func TestRegistry(t *testing.T) {
	r := sourcetest.Start(t, sourcetest.Options{})
	s, _ := sources(t, Options{PlainHTTP: []string{r.Address}})
	for _, layout := range []Layout{LayoutArtifact, LayoutImage} {
		t.Run(string(layout), func(t *testing.T) {
			to := "oci://" + r.Address + "/acme/" + string(layout) + ":1"
			parcel := &Parcel{Module: module("a"), Signature: []byte(someSignature), ID: "a", Version: "1.2", Description: "does a", Layout: layout}
			manifest, err := s.Push(t.Context(), parse(t, to), parcel)
			require.NoError(t, err)
			again, err := s.Push(t.Context(), parse(t, to), parcel)
			require.NoError(t, err)
			require.Equal(t, manifest, again, "the same parcel has the same digest")
			for _, from := range []string{to, to[:len(to)-2] + "@" + manifest, to + "@" + manifest} {
				a := accept(t, s, from, "")
				require.Equal(t, parcel.Module, a.Module, from)
				require.Equal(t, Digest(parcel.Module), a.Digest)
				require.Equal(t, manifest, a.Manifest)
				require.Equal(t, [][]byte{[]byte(someSignature)}, a.Signatures)
				require.False(t, a.Kept)
				require.True(t, accept(t, s, from, "").Kept)
			}
			dir := t.TempDir()
			oras(t, dir, "pull", "--plain-http", strings.TrimPrefix(to, "oci://"))
			if layout == LayoutArtifact {
				got, err := os.ReadFile(filepath.Join(dir, "a.wasm"))
				require.NoError(t, err)
				require.Equal(t, parcel.Module, got)
			}
			var m ocispec.Manifest
			require.NoError(t, json.Unmarshal([]byte(oras(t, dir, "manifest", "fetch", "--plain-http", strings.TrimPrefix(to, "oci://"))), &m))
			assert.Equal(t, "1.2", m.Annotations[ocispec.AnnotationVersion])
			_, err = s.Pull(t.Context(), parse(t, to), Digest([]byte("other")))
			require.ErrorContains(t, err, "got a module with digest "+Digest(parcel.Module)+", want "+Digest([]byte("other")))
		})
	}
	for _, bad := range []string{"oci://" + r.Address + "/a@" + Digest(nil), "https://x/y.wasm"} {
		_, err := s.Push(t.Context(), parse(t, bad), &Parcel{Module: module("a"), ID: "a"})
		require.ErrorContains(t, err, "want oci://REGISTRY/REPOSITORY:TAG")
	}
	_, err := s.Push(t.Context(), parse(t, "oci://"+r.Address+"/a:1"), &Parcel{Module: module("a"), ID: "a", Layout: "zip"})
	require.ErrorContains(t, err, `layout "zip", want "artifact" or "image"`)
	_, err = s.Load(t.Context(), parse(t, "oci://"+r.Address+"/acme/artifact:absent"), "")
	require.ErrorContains(t, err, "not found")
}

// TestOras takes what oras pushes in the ways that its users would.
func TestOras(t *testing.T) {
	r := sourcetest.Start(t, sourcetest.Options{})
	s, _ := sources(t, Options{PlainHTTP: []string{r.Address}})
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.wasm"), module("a"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.wasm.minisig"), []byte(someSignature), 0o600))
	layer, _, err := (&Parcel{Module: module("a"), Layout: LayoutImage}).archive()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "layer.tar"), layer, 0o600))
	for name, args := range map[string][]string{
		"wasm":      {"a.wasm:application/vnd.wasm.content.layer.v1+wasm"},
		"older":     {"--config", "/dev/null:application/vnd.module.wasm.config.v1+json", "a.wasm:application/vnd.module.wasm.content.layer.v1+wasm"},
		"cncf":      {"a.wasm:application/wasm", "a.wasm.minisig"},
		"typed":     {"a.wasm:application/wasm", "a.wasm.minisig:" + SignatureType},
		"annotated": {"--annotation", SignatureAnnotation + "=" + someSignature, "a.wasm:application/wasm"},
		"image":     {"layer.tar:application/vnd.oci.image.layer.v1.tar"},
	} {
		t.Run(name, func(t *testing.T) {
			to := r.Address + "/acme/" + name + ":1"
			oras(t, dir, append([]string{"push", "--plain-http", "--disable-path-validation", to}, args...)...)
			a := accept(t, s, "oci://"+to, "")
			require.Equal(t, module("a"), a.Module)
			signed := strings.Contains(strings.Join(args, " "), "minisig")
			require.Equal(t, signed, len(a.Signatures) == 1)
		})
	}
	t.Run("attached", func(t *testing.T) {
		to := r.Address + "/acme/attached:1"
		oras(t, dir, "push", "--plain-http", to, "a.wasm:application/wasm")
		require.Empty(t, accept(t, s, "oci://"+to, "").Signatures)
		oras(t, dir, "attach", "--plain-http", "--artifact-type", SignatureType, to, "a.wasm.minisig")
		require.Empty(t, accept(t, s, "oci://"+to, "").Signatures, "it is pinned")
		a, err := s.Pull(t.Context(), parse(t, "oci://"+to), "")
		require.NoError(t, err)
		require.Equal(t, [][]byte{[]byte(someSignature)}, a.Signatures)
	})
	t.Run("two modules", func(t *testing.T) {
		to := r.Address + "/acme/two:1"
		require.NoError(t, os.WriteFile(filepath.Join(dir, "b.wasm"), module("b"), 0o600))
		oras(t, dir, "push", "--plain-http", to, "a.wasm:application/wasm", "b.wasm:application/wasm")
		_, err := s.Load(t.Context(), parse(t, "oci://"+to), "")
		require.ErrorContains(t, err, `got layers of the types "application/wasm", "application/wasm", want one of`)
	})
	t.Run("no module", func(t *testing.T) {
		to := r.Address + "/acme/none:1"
		oras(t, dir, "push", "--plain-http", to, "a.wasm:text/plain")
		_, err := s.Load(t.Context(), parse(t, "oci://"+to), "")
		require.ErrorContains(t, err, `got layers of the types "text/plain"`)
	})
	t.Run("too long", func(t *testing.T) {
		to := r.Address + "/acme/long:1"
		require.NoError(t, os.WriteFile(filepath.Join(dir, "long.wasm"), make([]byte, maxBytes+1), 0o600))
		oras(t, dir, "push", "--plain-http", to, "long.wasm:application/wasm")
		_, err := s.Load(t.Context(), parse(t, "oci://"+to), "")
		require.ErrorContains(t, err, "it has 1048577 bytes, want at most 1048576")
	})
}

// TestPins: what a tag was is what it stays, whatever happens out there, until somebody pulls.
func TestPins(t *testing.T) {
	r := sourcetest.Start(t, sourcetest.Options{})
	s, dir := sources(t, Options{PlainHTTP: []string{r.Address}})
	tag := "oci://" + r.Address + "/acme/a:1"
	push := func(content []byte) string {
		manifest, err := s.Push(t.Context(), parse(t, tag), &Parcel{Module: content, ID: "a"})
		require.NoError(t, err)
		return manifest
	}
	first := push(module("one"))
	require.Equal(t, module("one"), accept(t, s, tag, "").Module)
	push(module("two")) // the tag moves
	a := accept(t, s, tag, "")
	require.Equal(t, module("one"), a.Module)
	require.True(t, a.Kept)

	// The policy's own word about the digest is newer than the pin.
	_, err := s.Load(t.Context(), parse(t, tag), Digest(module("three")))
	require.ErrorContains(t, err, "got a module with digest "+Digest(module("two"))+", want "+Digest(module("three")))
	require.Equal(t, module("two"), accept(t, s, tag, Digest(module("two"))).Module)
	require.Equal(t, module("two"), accept(t, s, tag, "").Module, "which is the pin now")

	exact := tag[:len(tag)-2] + "@" + first
	accept(t, s, exact, "")
	push(module("four"))
	store := OpenStore(dir, maxBytes)
	againIsTheSame(t, s, store, map[string][]byte{tag: module("two"), exact: module("one")})

	// The registry is down: what is kept works on, what is damaged then is refused.
	r.Stop()
	other, _ := sources(t, Options{Dir: dir, PlainHTTP: []string{r.Address}})
	require.Equal(t, module("two"), accept(t, other, tag, "").Module)
	require.NoError(t, os.WriteFile(store.path(Digest(module("two"))), module("evil"), 0o600))
	_, err = other.Load(t.Context(), parse(t, tag), "")
	require.ErrorContains(t, err, "damaged: the file is "+Digest(module("evil")))
	require.ErrorContains(t, err, "connection refused")
}

// againIsTheSame: a copy that is lost or damaged is got again by the digests that were pinned.
func againIsTheSame(t *testing.T, s *Sources, store *Store, pinned map[string][]byte) {
	for name, damage := range map[string]func(path string) error{
		"lost":      os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 10) },
		"swapped":   func(path string) error { return os.WriteFile(path, module("evil"), 0o600) },
		"endless":   func(path string) error { return os.WriteFile(path, make([]byte, 2<<20), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			for from, content := range pinned {
				require.NoError(t, damage(store.path(Digest(content))))
				a, err := s.Load(t.Context(), parse(t, from), "")
				if name == "endless" {
					require.ErrorContains(t, err, "it has more than 1048576 bytes")
					require.NoError(t, os.Remove(store.path(Digest(content))))
					a, err = s.Load(t.Context(), parse(t, from), "")
				}
				require.NoError(t, err)
				require.Equal(t, content, a.Module)
				kept, err := store.Get(Digest(content))
				require.NoError(t, err)
				require.Equal(t, content, kept)
			}
		})
	}
}

// A pin that was damaged does not make its source be asked again.
func TestDamagedPins(t *testing.T) {
	s, dir := sources(t, Options{})
	store, exact := OpenStore(dir, maxBytes), "oci://registry.example/acme/a:1"
	require.NoError(t, store.SetPin(Pin{Source: exact, Digest: Digest(nil)}))
	require.NoError(t, os.WriteFile(store.pinPath(exact), []byte("{"), 0o600))
	_, err := s.Load(t.Context(), parse(t, exact), "")
	require.ErrorContains(t, err, "read pin of "+exact)
	_, err = store.Pins()
	require.ErrorContains(t, err, "unexpected EOF")
	for text, want := range map[string]string{
		`{"source": "x", "digest": "` + Digest(nil) + `"}`:          `it is of "x"`,
		`{"source": "` + exact + `", "digest": "sha256:1"}`:         `digests "sha256:1"`,
		`{"source": "` + exact + `", "digest": "", "extra": "yes"}`: `unknown field "extra"`,
	} {
		require.NoError(t, os.WriteFile(store.pinPath(exact), []byte(text), 0o600))
		_, _, err := store.Pin(exact)
		require.ErrorContains(t, err, want)
	}
}

func TestCredentials(t *testing.T) {
	const password = "correct horse battery"
	r := sourcetest.Start(t, sourcetest.Options{User: "robot", Password: password})
	plain := []string{r.Address}
	tag := parse(t, "oci://"+r.Address+"/acme/a:1")
	good := map[string]Credential{r.Address: {"robot", password}}
	s, _ := sources(t, Options{PlainHTTP: plain, Credentials: good})
	_, err := s.Push(t.Context(), tag, &Parcel{Module: module("a"), ID: "a"})
	require.NoError(t, err)
	docker := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(docker, []byte(`{"auths": {"`+r.Address+`": {"auth": "cm9ib3Q6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"}}}`), 0o600))
	for name, test := range map[string]struct {
		options Options
		refused string
	}{
		"own":           {Options{Credentials: good}, ""},
		"docker's":      {Options{DockerConfig: docker}, ""},
		"own first":     {Options{DockerConfig: docker, Credentials: map[string]Credential{r.Address: {"robot", "wrong password"}}}, "the registry answered 401"},
		"none":          {Options{}, "basic credential not found"},
		"another's":     {Options{Credentials: map[string]Credential{"ghcr.io": {"robot", password}}}, "basic credential not found"},
		"wrong":         {Options{Credentials: map[string]Credential{r.Address: {"robot", "wrong password"}}}, "the registry answered 401"},
		"absent config": {Options{DockerConfig: docker + ".absent"}, "read plugins.pull.docker_config: stat"},
	} {
		t.Run(name, func(t *testing.T) {
			test.options.PlainHTTP = plain
			s, _ := sources(t, test.options)
			a, err := s.Load(t.Context(), tag, "")
			if test.refused == "" {
				require.NoError(t, err)
				require.Equal(t, module("a"), a.Module)
				return
			}
			require.ErrorContains(t, err, test.refused)
			require.NotContains(t, err.Error(), "wrong password")
			require.NotContains(t, err.Error(), password)
		})
	}
}

// A registry speaks TLS with a certificate of the operator's CA; plain HTTP is only for
// those that the operator named.
func TestRegistryTLS(t *testing.T) {
	cert, key, roots := certificate(t)
	r := sourcetest.Start(t, sourcetest.Options{Cert: cert, Key: key})
	tag := parse(t, "oci://"+r.Address+"/acme/a:1")
	s, _ := sources(t, Options{Roots: roots})
	_, err := s.Push(t.Context(), tag, &Parcel{Module: module("a"), ID: "a"})
	require.NoError(t, err)
	a, err := s.Load(t.Context(), tag, "")
	require.NoError(t, err)
	require.True(t, bytes.Equal(module("a"), a.Module))
	stranger, _ := sources(t, Options{})
	_, err = stranger.Load(t.Context(), tag, "")
	require.ErrorContains(t, err, "certificate signed by unknown authority")

	plain := sourcetest.Start(t, sourcetest.Options{})
	_, err = s.Load(t.Context(), parse(t, "oci://"+plain.Address+"/acme/a:1"), "")
	require.ErrorContains(t, err, "server gave HTTP response to HTTPS client")
}
