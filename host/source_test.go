package host_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host"
	"github.com/wasmgate/wasmgate/host/internal/rollout"
	"github.com/wasmgate/wasmgate/host/internal/signature"
	"github.com/wasmgate/wasmgate/host/internal/source"
	"github.com/wasmgate/wasmgate/host/internal/source/sourcetest"
	"github.com/wasmgate/wasmgate/host/model"
)

// publisher signs modules and pushes them.
type publisher struct {
	t   testing.TB
	key signature.Key
	signature.Secret
}

func newPublisher(t testing.TB) *publisher {
	t.Helper()
	key, secret, err := signature.Generate()
	require.NoError(t, err)
	return &publisher{t, key, secret}
}

// sign is the signature of a stamp.
func (p *publisher) sign(module string) string {
	return string(p.Sign([]byte(module), signature.Comment{Time: time.Unix(1_700_000_000, 0), File: "stamp.wasm", ID: "stamp", Version: "1"}))
}

// push puts a module and its signature, which may be empty, where to says.
func push(t testing.TB, to, module, sign string) (manifest string) {
	t.Helper()
	at, err := model.ParseSource(to)
	require.NoError(t, err)
	s, err := source.New(source.Options{MaxBytes: 1 << 20, Timeout: time.Minute, PlainHTTP: []string{at.Registry}})
	require.NoError(t, err)
	defer s.Close()
	parcel := &source.Parcel{Module: []byte(module), ID: "stamp", Version: "1"}
	if sign != "" {
		parcel.Signature = []byte(sign)
	}
	manifest, err = s.Push(t.Context(), at, parcel)
	require.NoError(t, err)
	return manifest
}

// sourced is an API whose only policy is a stamp; more is what the policy says beside.
func sourced(u, more string) string {
	return document(`x-wasmgate-api: {id: api}`, at("/v", fmt.Sprintf("x-wasmgate-policies: [{plugin: stamp, config: %q%s}]", mark(7), more), proxy(u)))
}

// trusting is a process file with rules about signatures and a registry.
func trusting(registry string, rules ...string) string {
	keys := append([]string{"dir: plugins"}, append(rules, fmt.Sprintf("pull: {plain_http: [%q]}", registry))...)
	return "plugins: {" + strings.Join(keys, ", ") + "}\n"
}

func signersOf(keys ...signature.Key) string {
	var list []string
	for _, k := range keys {
		list = append(list, k.String())
	}
	return "signers: [{keys: [" + strings.Join(list, ", ") + "], plugins: [stamp]}]"
}

// stamped wants the stamp of that build to decide a request.
func (g *gateway) stamped(t testing.TB, build int) {
	t.Helper()
	require.Equal(t, mark(build), get(t, g.h1, site+"/v").Header.Get("x-plugin"))
}

// A module from a registry decides requests; whatever happens to the registry, the key or
// the copy, the old snapshot serves on.
func TestSourceOCI(t *testing.T) {
	u := serve(t, nil)
	r := sourcetest.Start(t, sourcetest.Options{})
	acme, stranger := newPublisher(t), newPublisher(t)
	tag := "oci://" + r.Address + "/acme/stamp:1"
	first := push(t, tag, stamp(1), acme.sign(stamp(1)))
	policy := fmt.Sprintf(", source: %q", tag)
	g := start(t, files{"wasmgate.yaml": trusting(r.Address, signersOf(acme.key)), "apis/a.yaml": sourced(u.URL, policy)})
	g.stamped(t, 1)
	told := map[string][2]string{}
	for _, p := range g.status().Policies {
		told[p.Plugin] = [2]string{p.Source, p.Signer}
	}
	require.Equal(t, map[string][2]string{"stamp": {tag, acme.key.ID()}, "http": {"built-in", ""}}, told)
	require.Contains(t, g.log.String(), first, "the manifest's digest")

	// The tag moves to something that nobody signed: nobody follows.
	push(t, tag, stamp(2), "")
	require.NoError(t, g.Reload(t.Context()))
	g.stamped(t, 1)

	refusesEvil(t, g, r, u.URL, acme, stranger)

	// The new key beside the old one, then alone: what only the old one signed is refused.
	g.update(files{"apis/a.yaml": sourced(u.URL, policy), "wasmgate.yaml": process(trusting(r.Address, signersOf(stranger.key, acme.key)))})
	g.stamped(t, 1)
	why := g.refused(files{"wasmgate.yaml": process(trusting(r.Address, signersOf(stranger.key)))})
	require.Contains(t, why, "got a signature by key "+acme.key.ID()+", which no rule names, want one by key "+stranger.key.ID())
	g.stamped(t, 1)
	g.update(files{"wasmgate.yaml": process(trusting(r.Address, signersOf(acme.key)))})

	// The policy's digest moves it to the next version, by the tag.
	push(t, tag, stamp(3), acme.sign(stamp(3)))
	g.update(files{"apis/a.yaml": sourced(u.URL, policy+", digest: "+source.Digest([]byte(stamp(3))))})
	g.stamped(t, 3)

	// The registry is gone: the copy does. A copy that was changed does not.
	r.Stop()
	require.NoError(t, g.Reload(t.Context()))
	g.stamped(t, 3)
	path := filepath.Join(g.dir, "data", "plugins", "sha256", strings.TrimPrefix(source.Digest([]byte(stamp(3))), "sha256:"))
	require.NoError(t, os.WriteFile(path, []byte(stamp(2)), 0o600))
	why = g.refused(nil)
	require.Contains(t, why, "damaged: the file is "+source.Digest([]byte(stamp(2))))
	g.stamped(t, 3)
	require.GreaterOrEqual(t, g.metric("wasmgate_config_reloads_total", `result="failure"`), 7.0)
}

// refusesEvil: who asks for a bad module by its digest is refused, and served on.
func refusesEvil(t *testing.T, g *gateway, r *sourcetest.Registry, u string, acme, stranger *publisher) {
	refusals := map[string]struct{ module, sign, want string }{
		"unsigned":       {stamp(2), "", "got no signature, want one by key " + acme.key.ID() + " (plugins.signers[0])"},
		"a stranger's":   {stamp(2), stranger.sign(stamp(2)), "got a signature by key " + stranger.key.ID() + ", which no rule names"},
		"of other bytes": {stamp(2), acme.sign(stamp(1)), "got a signature by key " + acme.key.ID() + " that does not fit the module"},
		"of another plugin": {stamp(2), string(acme.Sign([]byte(stamp(2)), signature.Comment{ID: "other"})),
			`got id "other" in the trusted comment by key ` + acme.key.ID() + ` (plugins.signers[0]), want the plugin's, "stamp"`},
		"no module": {"garbage", acme.sign("garbage"), "not a Wasm module"},
	}
	for name, bad := range refusals {
		t.Run(name, func(t *testing.T) {
			to := "oci://" + r.Address + "/acme/bad:" + strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), "'", "")
			exact := strings.Split(to, ":bad")[0] + "@" + push(t, to, bad.module, bad.sign)
			why := g.refused(files{"apis/a.yaml": sourced(u, fmt.Sprintf(", source: %q", exact))})
			require.Contains(t, why, "apis/a.yaml:5:36: policy stamp")
			require.Contains(t, why, exact)
			require.Contains(t, why, bad.want)
			g.stamped(t, 1)
			kept, _ := filepath.Glob(filepath.Join(g.dir, "data", "plugins", "sha256", "*"))
			require.Len(t, kept, 1, "what is refused is not kept")
			require.Contains(t, g.status().LastReload.Error, bad.want)
		})
	}
}

// Without any rule plugins.dir is taken and nothing else.
func TestSourceWithoutRules(t *testing.T) {
	u := serve(t, nil)
	r := sourcetest.Start(t, sourcetest.Options{})
	g := start(t, files{"wasmgate.yaml": trusting(r.Address), "plugins/stamp.wasm": stamp(1), "plugins/stamp.wasm.minisig": "rubbish", "apis/a.yaml": sourced(u.URL, "")})
	g.stamped(t, 1)
	acme := newPublisher(t)
	tag := "oci://" + r.Address + "/acme/stamp:1"
	push(t, tag, stamp(2), acme.sign(stamp(2)))
	g.put(files{"elsewhere/stamp.wasm": stamp(2)})
	for _, from := range []string{tag, "file:../elsewhere/stamp.wasm"} {
		scheme, _, _ := strings.Cut(from, ":")
		why := g.refused(files{"apis/a.yaml": sourced(u.URL, fmt.Sprintf(", source: %q", from))})
		require.Contains(t, why, fmt.Sprintf(`got plugin "stamp" from %s, and no rule about it, want a rule in plugins.signers, or in plugins.unsigned with from: [%s]`, scheme, scheme))
		g.stamped(t, 1)
	}
	g.put(files{"plugins/stamp.wasm": ""})
	g.update(files{"wasmgate.yaml": process(trusting(r.Address, "unsigned: [{plugins: [stamp], from: [oci]}]")), "apis/a.yaml": sourced(u.URL, fmt.Sprintf(", source: %q", tag))})
	g.stamped(t, 2)
	why := g.refused(files{"apis/a.yaml": sourced(u.URL, `, source: "file:../elsewhere/stamp.wasm"`)})
	require.Contains(t, why, `want plugins.unsigned to name "stamp" with from: [file]`)
	g.stamped(t, 2)
}

// With rules, the files of plugins.dir are held against them, whenever a snapshot is made.
func TestSignedFiles(t *testing.T) {
	u := serve(t, nil)
	acme, next := newPublisher(t), newPublisher(t)
	rules := "plugins: {dir: plugins, " + signersOf(acme.key) + "}\n"
	g := start(t, files{"wasmgate.yaml": rules, "plugins/stamp.wasm": stamp(1), "plugins/stamp.wasm.minisig": acme.sign(stamp(1)), "apis/a.yaml": sourced(u.URL, "")})
	g.stamped(t, 1)
	refused := func(content files, want string) {
		t.Helper()
		why := g.refused(content)
		require.Contains(t, why, filepath.Join(g.dir, "plugins", "stamp.wasm")+": got "+want)
		g.stamped(t, 1)
	}
	refused(files{"plugins/stamp.wasm": stamp(2)}, "a signature by key "+acme.key.ID()+" that does not fit the module")
	refused(files{"plugins/stamp.wasm.minisig": next.sign(stamp(2))}, "a signature by key "+next.key.ID()+", which no rule names")
	refused(files{"plugins/stamp.wasm.minisig": ""}, "no signature")
	g.put(files{"plugins/stamp.wasm.minisig": acme.sign(stamp(2))})
	await(t, "the signature to be seen", func() bool { return get(t, g.h1, site+"/v").Header.Get("x-plugin") == mark(2) })

	why := g.refused(files{"wasmgate.yaml": process("plugins: {dir: plugins, " + strings.Replace(signersOf(acme.key), "[stamp]", "[other]", 1) + "}\n")})
	require.Contains(t, why, `got plugin id "stamp", which no rule names`)
	g.stamped(t, 2)
	g.update(files{"wasmgate.yaml": process("plugins: {dir: plugins, " + strings.Replace(signersOf(next.key), "[stamp]", "[other]", 1) + ", unsigned: [{plugins: [stamp], from: [dir]}]}\n"), "plugins/stamp.wasm.minisig": ""})
	g.stamped(t, 2)
	refused2 := g.refused(files{"plugins/stamp.wasm.minisig": acme.sign(stamp(2))})
	require.Contains(t, refused2, "a signature by key "+acme.key.ID()+", which no rule names", "also where it may come unsigned")
}

// A file beside the document is hot-loaded; two versions beside each other are meant, or refused.
func TestSourceFile(t *testing.T) {
	u := serve(t, nil)
	policy := func(source, digest string) string {
		return fmt.Sprintf("x-wasmgate-policies: [{plugin: stamp, config: %q, source: %q%s}]", mark(7), source, digest)
	}
	two := func(digests ...string) string {
		return document(`x-wasmgate-api: {id: api}`, at("/v", policy("file:../mine/a.wasm", digests[0]), proxy(u.URL)), at("/w", policy("file:../mine/b.wasm", digests[1]), proxy(u.URL)))
	}
	digest := func(build int) string { return ", digest: " + source.Digest([]byte(stamp(build))) }
	g := start(t, files{"wasmgate.yaml": "plugins: {dir: plugins, unsigned: [{plugins: [stamp, jwt], from: [file]}]}\n", "mine/a.wasm": stamp(1), "mine/b.wasm": stamp(2),
		"apis/a.yaml": sourced(u.URL, `, source: "file:../mine/a.wasm"`)})
	g.stamped(t, 1)
	g.put(files{"mine/a.wasm": stamp(3)})
	await(t, "the file to be seen", func() bool { return get(t, g.h1, site+"/v").Header.Get("x-plugin") == mark(3) })

	require.Contains(t, g.refused(files{"apis/a.yaml": sourced(u.URL, `, source: "file:../mine/later.wasm"`)}), "later.wasm: no such file")
	g.put(files{"mine/later.wasm": stamp(2)})
	await(t, "the file that was missing", func() bool { return get(t, g.h1, site+"/v").Header.Get("x-plugin") == mark(2) })
	g.update(files{"apis/a.yaml": sourced(u.URL, `, source: "file:../mine/a.wasm"`)})

	why := g.refused(files{"apis/a.yaml": two("", digest(2))})
	require.Contains(t, why, "got plugin \"stamp\" from file:"+filepath.Join(g.dir, "mine", "a.wasm")+", which is from file:"+filepath.Join(g.dir, "mine", "b.wasm")+" elsewhere, without a digest")
	g.stamped(t, 3)
	g.update(files{"apis/a.yaml": two(digest(3), digest(2))})
	g.stamped(t, 3)
	require.Equal(t, mark(2), get(t, g.h1, site+"/w").Header.Get("x-plugin"))
	require.Contains(t, g.adminGet("/metrics"), `plugin="stamp"`)

	why = g.refused(files{"apis/a.yaml": two(digest(3), digest(1))})
	require.Contains(t, why, "got a module with digest "+source.Digest([]byte(stamp(2)))+", want "+source.Digest([]byte(stamp(1))))
	why = g.refused(files{"apis/a.yaml": strings.ReplaceAll(two(digest(3), digest(2)), "plugin: stamp", "plugin: jwt")})
	require.Contains(t, why, `the id of the built-in plugin "jwt", want an id of its own`)
	why = g.refused(files{"apis/a.yaml": strings.ReplaceAll(sourced(u.URL, `, source: "file:../mine/a.wasm"`), "plugin: stamp", "plugin: other")})
	require.Contains(t, why, `got a module whose manifest says id "stamp", want "other" as policies name it`)
	g.stamped(t, 3)

	// A digest is what the module must be, wherever it comes from.
	why = g.refused(files{"apis/a.yaml": document(`x-wasmgate-api: {id: api}`, at("/v", `x-wasmgate-policies: [{plugin: ip-rules, digest: "`+source.Digest(nil)+`", config: {}}]`, proxy(u.URL)))})
	require.Contains(t, why, "policy ip-rules: got a module with digest sha256:")
	require.Contains(t, why, " from built-in, want "+source.Digest(nil))
}

// While a server of modules keeps a reload waiting, requests are served.
func TestSlowSource(t *testing.T) {
	u := serve(t, nil)
	asked, release := make(chan struct{}, 1), make(chan struct{})
	var mended atomic.Bool
	slow := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if mended.Load() {
			if r.URL.Path != "/stamp.wasm" {
				http.NotFound(w, r)
				return
			}
			io.WriteString(w, stamp(2))
			return
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		<-release
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(slow.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: slow.Certificate().Raw}))
	g := start(t, files{"ca.pem": ca, "wasmgate.yaml": "plugins: {dir: plugins, unsigned: [{plugins: [stamp], from: [dir, https]}], pull: {ca_file: ca.pem}}\n",
		"plugins/stamp.wasm": stamp(1), "apis/a.yaml": sourced(u.URL, "")})
	g.stamped(t, 1)
	from := slow.URL + "/stamp.wasm"
	g.put(files{"apis/a.yaml": sourced(u.URL, fmt.Sprintf(", source: %q, digest: %q", from, source.Digest([]byte(stamp(2)))))})
	<-asked // by the reload that the watcher began
	g.stamped(t, 1)
	close(release)
	await(t, "the reload to end", func() bool {
		return strings.Contains(g.status().LastReload.Error, "pull "+from+": got status 503, want 200")
	})
	g.stamped(t, 1)
}

// Checking a configuration keeps nothing and pins nothing.
func TestValidateKeepsNothing(t *testing.T) {
	r := sourcetest.Start(t, sourcetest.Options{})
	tag := "oci://" + r.Address + "/acme/stamp:1"
	push(t, tag, stamp(1), "")
	dir := t.TempDir()
	options := prepare(t, dir, files{"wasmgate.yaml": trusting(r.Address, "unsigned: [{plugins: [stamp], from: [oci]}]"), "apis/a.yaml": sourced("http://127.0.0.1:1", fmt.Sprintf(", source: %q", tag))})
	report, err := host.Validate(t.Context(), options)
	require.NoError(t, err)
	require.Equal(t, 1, report.Routes)
	require.NoDirExists(t, filepath.Join(dir, "data", "plugins"))
}

// A rollout is no way around the rules, and a key that is taken back takes with it what it signed.
func TestSignedRollouts(t *testing.T) {
	u := serve(t, nil)
	acme, next := newPublisher(t), newPublisher(t)
	rules := func(keys ...signature.Key) string {
		return process("plugins: {dir: plugins, " + signersOf(keys...) + "}\n")
	}
	g := start(t, files{"wasmgate.yaml": rules(acme.key, next.key), "plugins/stamp.wasm": stamp(1), "plugins/stamp.wasm.minisig": acme.sign(stamp(1)), "apis/a.yaml": sourced(u.URL, "")})
	roll := func(texts ...string) error {
		r := &host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 100}}
		for _, text := range texts {
			r.Signatures = append(r.Signatures, []byte(text))
		}
		return g.Rollout(t.Context(), r)
	}
	require.ErrorContains(t, roll(), `roll out plugin "stamp": got no signature`)
	require.ErrorContains(t, roll(acme.sign(stamp(1))), "that does not fit the module")
	g.stamped(t, 1)
	require.NoError(t, roll(next.sign(stamp(2))))
	require.NoError(t, g.Promote(t.Context(), "stamp"))
	g.stamped(t, 2)
	why := g.refused(files{"wasmgate.yaml": rules(acme.key)})
	require.Contains(t, why, "rollouts.json: rollout of stamp: got a signature by key "+next.key.ID()+", which no rule names")
	g.stamped(t, 2)
	require.NoError(t, g.Rollback(t.Context(), "stamp", "its key is taken back"))
	g.stamped(t, 1)
}
