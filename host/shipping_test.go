package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host"
	"github.com/wasmgate/wasmgate/host/internal/signature"
	"github.com/wasmgate/wasmgate/host/internal/source"
	"github.com/wasmgate/wasmgate/host/internal/source/sourcetest"
)

// The operator follows a tag by an act of his own, and not to what was signed before.
func TestPullPlugin(t *testing.T) {
	u := serve(t, nil)
	r := sourcetest.Start(t, sourcetest.Options{})
	acme := newPublisher(t)
	tag := "oci://" + r.Address + "/acme/stamp:latest"
	at := func(module string, seconds int64) string {
		return string(acme.Sign([]byte(module), signature.Comment{Time: time.Unix(seconds, 0), ID: "stamp"}))
	}
	digest := func(n int) string { return source.Digest([]byte(stamp(n))) }
	push(t, tag, stamp(1), at(stamp(1), 1000))
	g := start(t, files{"wasmgate.yaml": trusting(r.Address, signersOf(acme.key)), "apis/a.yaml": sourced(u.URL, fmt.Sprintf(", source: %q", tag))})
	g.stamped(t, 1)
	config, err := host.Load(host.LoadOptions{File: filepath.Join(g.dir, "wasmgate.yaml"), Environ: []string{}})
	require.NoError(t, err)
	pull := func(p host.Pull) (*host.Pulled, error) {
		p.Source = tag
		return host.PullPlugin(t.Context(), config, p)
	}
	pinned := func() string {
		pins, err := host.Pins(config)
		require.NoError(t, err)
		require.Len(t, pins, 1)
		return pins[0].Digest
	}
	require.Equal(t, digest(1), pinned())

	push(t, tag, stamp(2), "")
	_, err = pull(host.Pull{})
	require.ErrorContains(t, err, `plugin "stamp" from `+tag+": got no signature, want one by key "+acme.key.ID())
	push(t, tag, stamp(2), at(stamp(2), 999))
	_, err = pull(host.Pull{})
	require.ErrorContains(t, err, "got a module that was signed 1970-01-01T00:16:39Z, want none before 1970-01-01T00:16:40Z")
	_, err = pull(host.Pull{Digest: digest(3), Older: true})
	require.ErrorContains(t, err, "got a module with digest "+digest(2)+", want "+digest(3))
	require.Equal(t, digest(1), pinned())
	require.NoError(t, g.Reload(t.Context()))
	g.stamped(t, 1)

	one, err := pull(host.Pull{Older: true})
	require.NoError(t, err)
	require.Equal(t, digest(1), one.Before)
	require.Equal(t, digest(2), pinned())
	g.stamped(t, 1) // nothing serves without a reload
	require.NoError(t, g.Reload(t.Context()))
	g.stamped(t, 2)
	push(t, tag, stamp(3), at(stamp(3), 2000))
	one, err = pull(host.Pull{})
	require.NoError(t, err)
	require.Equal(t, acme.key.ID(), one.Signed.KeyID)
	require.NoError(t, g.Reload(t.Context()))
	g.stamped(t, 3)

	require.NoError(t, host.ForgetPin(config, tag))
	require.ErrorContains(t, host.ForgetPin(config, tag), "there is no pin of it")
	_, err = host.PullPlugin(t.Context(), config, host.Pull{Source: "file:x.wasm"})
	require.ErrorContains(t, err, "a file is read at each reload and not kept")
	_, err = host.PullPlugin(t.Context(), config, host.Pull{Source: "ftp://x"})
	require.ErrorContains(t, err, `read source: got "ftp://x", want file:PATH`)
}

func TestCheckPlugin(t *testing.T) {
	acme, other := newPublisher(t), newPublisher(t)
	dir := t.TempDir()
	options := prepare(t, dir, files{"wasmgate.yaml": "plugins: {dir: plugins, " + signersOf(acme.key) + "}\n", "stamp.wasm": stamp(1), "stamp.wasm.minisig": acme.sign(stamp(1)), "secret": "very secret"})
	path := filepath.Join(dir, "stamp.wasm")
	one, err := host.CheckPlugin(t.Context(), options.Config, host.Pull{Source: "file:" + path})
	require.NoError(t, err)
	require.Equal(t, "plugins.signers[0]", one.Signed.Rule)
	signed, err := host.VerifyPlugin([]byte(stamp(1)), []byte(acme.sign(stamp(1))), []string{other.key.String(), acme.key.String()})
	require.NoError(t, err)
	require.Equal(t, acme.key.ID(), signed.KeyID)
	for text, want := range map[string]string{"": "got no signature, want one by key " + acme.key.ID() + " (--key)", acme.sign(stamp(2)): "does not fit", other.sign(stamp(1)): "which no rule names", "x": "read signature"} {
		_, err = host.VerifyPlugin([]byte(stamp(1)), []byte(text), []string{acme.key.String()})
		require.ErrorContains(t, err, want)
	}
	_, err = host.VerifyPlugin([]byte(stamp(1)), nil, []string{"x"})
	require.ErrorContains(t, err, "read public key")
	fetched, err := host.FetchPlugin(t.Context(), options.Config, host.Pull{Source: "file:" + path})
	require.NoError(t, err)
	require.Equal(t, stamp(1), string(fetched.Module))
	require.NoError(t, os.WriteFile(path, []byte("garbage"), 0o600))
	_, err = host.CheckPlugin(t.Context(), options.Config, host.Pull{Source: "file:" + path})
	require.ErrorContains(t, err, "not a Wasm module")
	// A module without a manifest has the name that policies use.
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("\x00asm\x01\x00\x00\x00", 1)), 0o600))
	_, err = host.CheckPlugin(t.Context(), options.Config, host.Pull{Source: "file:" + path})
	require.ErrorContains(t, err, "want --id to say what policies call it")
}
