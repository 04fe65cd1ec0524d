package source

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/model"
)

func TestHTTPS(t *testing.T) {
	stop := make(chan struct{})
	answers := map[string]http.HandlerFunc{
		"/a.wasm":            func(w http.ResponseWriter, _ *http.Request) { w.Write(module("a")) },
		"/signed.wasm":       func(w http.ResponseWriter, _ *http.Request) { w.Write(module("a")) },
		"/signed.wasm" + sig: func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(someSignature)) },
		"/gone.wasm":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) },
		"/locked.wasm":       func(w http.ResponseWriter, _ *http.Request) { w.Write(module("a")) },
		"/locked.wasm" + sig: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"/odd.wasm":          func(w http.ResponseWriter, _ *http.Request) { w.Write(module("a")) },
		"/odd.wasm" + sig:    func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 5000)) },
		"/declared.wasm":     func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "99999999999") },
		"/endless.wasm": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
		"/slow.wasm": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-stop:
			}
		},
		"/moved.wasm": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/a.wasm", http.StatusFound) },
		"/loop.wasm":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop.wasm", http.StatusFound) },
		"/plain.wasm": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/x", http.StatusFound)
		},
		"/metadata.wasm": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://169.254.169.254/latest?token=hidden", http.StatusFound)
		},
		"/unfinished.wasm": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("x"))
		},
	}
	web, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
		if answer := answers[r.URL.Path]; answer != nil {
			answer(w, r)
			return
		}
		http.NotFound(w, r)
	})
	t.Cleanup(func() { close(stop) })
	digest := Digest(module("a"))
	for name, test := range map[string]struct{ digest, want string }{
		"a":          {digest, ""},
		"signed":     {digest, ""},
		"moved":      {digest, ""},
		"absent":     {digest, "got status 404, want 200"},
		"gone":       {digest, "got status 410, want 200"},
		"locked":     {digest, "its signature: got status 403, want 200, or 404 where there is none"},
		"odd":        {digest, "its signature: it has more than 4096 bytes"},
		"declared":   {digest, "it has 99999999999 bytes, want at most 1048576"},
		"endless":    {digest, "it has more than 1048576 bytes"},
		"slow":       {digest, "it took longer than 500ms (plugins.pull.timeout)"},
		"loop":       {digest, "more than 5 redirects"},
		"plain":      {digest, "http://127.0.0.1:1 is not https"},
		"metadata":   {digest, "https://169.254.169.254/latest: address 169.254.169.254 is link-local or of a metadata service"},
		"unfinished": {digest, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := time.Minute
			if name == "slow" {
				timeout = 500 * time.Millisecond
			}
			s, _ := sources(t, Options{Roots: roots, Timeout: timeout})
			from := parse(t, web.URL+"/"+name+".wasm")
			a, err := s.Load(t.Context(), from, test.digest)
			if test.want != "" {
				require.ErrorContains(t, err, "pull "+from.String()+": ")
				require.ErrorContains(t, err, test.want)
				require.NotContains(t, err.Error(), "hidden")
				return
			}
			require.NoError(t, err)
			require.Equal(t, name == "signed", len(a.Signatures) == 1)
			_, err = s.Load(t.Context(), from, Digest([]byte("another")))
			require.ErrorContains(t, err, "got a module with digest "+digest)
		})
	}
}

const sig = ".minisig"

// A name that leads to a metadata service is as bad as its address; so is a proxy asked to go there.
func TestAddresses(t *testing.T) {
	s, _ := sources(t, Options{})
	_, err := s.network.dial(t.Context(), "tcp", "169.254.169.254:443")
	require.ErrorContains(t, err, "link-local or of a metadata service")
	_, err = s.network.dial(t.Context(), "tcp", "[fe80::1]:443")
	require.ErrorContains(t, err, "link-local or of a metadata service")
	_, err = s.network.dial(t.Context(), "tcp", "[::ffff:169.254.169.254]:443")
	require.ErrorContains(t, err, "link-local or of a metadata service")

	asked := make(chan string, 1)
	web, _ := server(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r.Host })
	proxied, _ := sources(t, Options{Proxy: web.URL})
	_, err = proxied.Load(t.Context(), parse(t, "https://169.254.169.254/x.wasm"), Digest(nil))
	require.ErrorContains(t, err, "link-local or of a metadata service")
	require.Empty(t, asked)

	// What a name in plugins.pull.plain_http leads to is looked at, too: 192.0.2.1 is nobody's.
	plain, _ := sources(t, Options{PlainHTTP: []string{"192.0.2.1:80"}})
	_, err = plain.network.dial(t.Context(), "tcp", "192.0.2.1:80")
	require.ErrorContains(t, err, "address 192.0.2.1 is not loopback, and 192.0.2.1:80 is in plugins.pull.plain_http")
}

// The proxy of the environment is not used; the one that is configured is.
func TestProxy(t *testing.T) {
	var through []string
	web, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
		through = append(through, r.Method+" "+r.Host)
		w.WriteHeader(http.StatusTeapot)
	})
	t.Setenv("HTTPS_PROXY", web.URL)
	s, _ := sources(t, Options{Roots: roots})
	_, err := s.Load(t.Context(), parse(t, "https://127.0.0.1:1/x.wasm"), Digest(nil))
	require.ErrorContains(t, err, "connection refused")
	require.Empty(t, through)
	s, _ = sources(t, Options{Roots: roots, Proxy: web.URL})
	_, err = s.Load(t.Context(), parse(t, "https://module.example/x.wasm"), Digest(nil))
	require.ErrorContains(t, err, "teapot")
	require.Equal(t, []string{"CONNECT module.example:443"}, through)
	s, _ = sources(t, Options{Roots: roots, Proxy: web.URL, PlainHTTP: []string{"127.0.0.1:1"}})
	_, err = s.Load(t.Context(), parse(t, "oci://127.0.0.1:1/a:1"), "")
	require.ErrorContains(t, err, "connection refused")
	require.Len(t, through, 1)
}

func TestFile(t *testing.T) {
	s, dir := sources(t, Options{})
	folder := t.TempDir()
	path := filepath.Join(folder, "a.wasm")
	require.NoError(t, os.WriteFile(path, module("a"), 0o600))
	a := accept(t, s, "file:"+path, "")
	require.Equal(t, module("a"), a.Module)
	require.Empty(t, a.Signatures)
	require.NoError(t, os.WriteFile(path+sig, []byte(someSignature), 0o600))
	require.NoError(t, os.WriteFile(path, module("b"), 0o600))
	a = accept(t, s, "file:"+path, Digest(module("b")))
	require.Len(t, a.Signatures, 1)
	require.NoDirExists(t, dir, "a file is not kept")
	_, err := s.Load(t.Context(), parse(t, "file:"+path), Digest(module("a")))
	require.ErrorContains(t, err, "pull file:"+path+": got a module with digest")
	require.NoError(t, os.WriteFile(path+sig, make([]byte, 5000), 0o600))
	_, err = s.Load(t.Context(), parse(t, "file:"+path), "")
	require.ErrorContains(t, err, "a.wasm.minisig: it has more than 4096 bytes")
	require.NoError(t, os.WriteFile(path, make([]byte, maxBytes+1), 0o600))
	_, err = s.Load(t.Context(), parse(t, "file:"+path), "")
	require.ErrorContains(t, err, "it has more than 1048576 bytes")
	_, err = s.Load(t.Context(), parse(t, "file:"+folder), "")
	require.ErrorContains(t, err, "is no file")
	pipe := filepath.Join(folder, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	_, err = s.Load(t.Context(), parse(t, "file:"+pipe), "")
	require.ErrorContains(t, err, "is no file")
	_, err = s.Load(t.Context(), parse(t, "file:"+path+".absent"), "")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// evil is a registry that says what it likes.
type evil struct {
	manifest  string
	mediaType string
	digest    string // Docker-Content-Digest, when it lies
	blob      http.HandlerFunc
	referrers http.HandlerFunc
}

func (e *evil) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, rest, _ := strings.Cut(r.URL.Path, "/acme/a/")
	switch kind, _, _ := strings.Cut(rest, "/"); kind {
	case "manifests":
		if e.mediaType == "" {
			e.mediaType = ocispec.MediaTypeImageManifest
		}
		w.Header().Set("Content-Type", e.mediaType)
		if e.digest != "" {
			w.Header().Set("Docker-Content-Digest", e.digest)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(e.manifest)))
		fmt.Fprint(w, e.manifest)
	case "blobs":
		e.blob(w, r)
	case "referrers":
		if e.referrers != nil {
			e.referrers(w, r)
			return
		}
		http.NotFound(w, r)
	default:
		http.NotFound(w, r)
	}
}

func manifest(layers ...ocispec.Descriptor) string {
	data, err := json.Marshal(ocispec.Manifest{Layers: layers})
	if err != nil {
		panic(err)
	}
	return string(data)
}

func layer(mediaType string, data []byte) ocispec.Descriptor { return newBlob(mediaType, data).desc }

func answer(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write(data) }
}

func TestEvilRegistry(t *testing.T) {
	good := layer(layerWasm, module("a"))
	sized := func(n int64) ocispec.Descriptor { d := good; d.Size = n; return d }
	named := func(digest string) ocispec.Descriptor {
		d := good
		d.Digest = ocispec.Descriptor{Digest: d.Digest}.Digest[:0]
		data := fmt.Sprintf(`{"digest": %q}`, digest)
		if err := json.Unmarshal([]byte(data), &d); err != nil {
			panic(err)
		}
		return d
	}
	bomb := gzipped(tarball(entry{name: "plugin.wasm", size: 64 << 20}))
	for name, test := range map[string]struct {
		registry evil
		want     string
	}{
		"good":              {evil{manifest: manifest(good), blob: answer(module("a"))}, ""},
		"other bytes":       {evil{manifest: manifest(good), blob: answer(module("b"))}, "mismatched digest"},
		"fewer bytes":       {evil{manifest: manifest(good), blob: answer(module("a")[:10])}, "mismatch Content-Length"},
		"a size of TBs":     {evil{manifest: manifest(sized(1 << 40)), blob: answer(module("a"))}, "it has 1099511627776 bytes, want at most 1048576"},
		"a negative size":   {evil{manifest: manifest(sized(-1)), blob: answer(module("a"))}, "it has -1 bytes"},
		"a path for digest": {evil{manifest: manifest(named("sha256:../../../../etc/passwd")), blob: answer(nil)}, "want sha256:HEX"},
		"a weak digest":     {evil{manifest: manifest(named("md5:d41d8cd98f00b204e9800998ecf8427e")), blob: answer(nil)}, "want sha256:HEX"},
		"a huge manifest":   {evil{manifest: strings.Repeat(" ", maxManifest+1) + manifest(good)}, "bytes, want at most 1048576"},
		"many layers":       {evil{manifest: `{"layers": [` + strings.Repeat(`{},`, 200) + `{}]}`}, "got 201 layers, want 1 to 128"},
		"no layers":         {evil{manifest: `{}`}, "got 0 layers"},
		"garbage":           {evil{manifest: "<html>"}, "read manifest: invalid character"},
		"an index, too":     {evil{manifest: `{"layers": [], "manifests": []}`}, "read manifest: it is an index, too"},
		"a manifest, too":   {evil{manifest: `{"layers": [], "manifests": []}`, mediaType: ocispec.MediaTypeImageIndex}, "read index: it is a manifest, too"},
		"a lie about itself": {evil{manifest: manifest(good), digest: Digest([]byte("lie"))},
			"got one with digest"},
		"a header of rubbish": {evil{manifest: manifest(good), digest: "rubbish" + strings.Repeat("x", 10000)}, "invalid response header value"},
		"a tar bomb":          {evil{manifest: manifest(layer(layerTarGzip, bomb)), blob: answer(bomb)}, "it has more than 1048576 bytes"},
		"an index of two": {evil{mediaType: ocispec.MediaTypeImageIndex, manifest: `{"manifests": [{"mediaType": "` + ocispec.MediaTypeImageManifest + `"}, {"mediaType": "` + ocispec.MediaTypeImageManifest + `"}]}`},
			"got 2 manifests, 0 of them for wasm, want one"},
		"an index of itself": {evil{mediaType: ocispec.MediaTypeImageIndex, manifest: `{"manifests": [{"mediaType": "` + ocispec.MediaTypeImageManifest + `", "digest": "` + Digest([]byte("x")) + `"}]}`}, "digest mismatch"},
		"many signatures": {evil{manifest: manifest(append(make([]ocispec.Descriptor, 0), good, layer(SignatureType, nil), layer(SignatureType, nil), layer(SignatureType, nil), layer(SignatureType, nil), layer(SignatureType, nil), layer(SignatureType, nil), layer(SignatureType, nil), layer(SignatureType, nil), layer(SignatureType, nil))...)},
			"got 9 signatures, want at most 8"},
		"a long signature": {evil{manifest: manifest(good, layer(SignatureType, make([]byte, 5000))), blob: answer(module("a"))}, "its signature: layer"},
		"a blob elsewhere": {evil{manifest: manifest(good), blob: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/blob", http.StatusTemporaryRedirect)
		}}, "http://127.0.0.1:1 is not https"},
		"a blob in a loop": {evil{manifest: manifest(good), blob: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}}, "redirects"},
		"a blob at a metadata service": {evil{manifest: manifest(good), blob: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://[fd00:ec2::254]/blob", http.StatusTemporaryRedirect)
		}}, "link-local or of a metadata service"},
		"a list of referrers without end": {evil{manifest: manifest(good), blob: answer(module("a")), referrers: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			w.Header().Set("Link", "<"+r.URL.Path+"?next=1>; rel=next")
			fmt.Fprint(w, `{"schemaVersion": 2, "mediaType": "`+ocispec.MediaTypeImageIndex+`", "manifests": []}`)
		}}, "pages"},
		"a referrer of another type": {evil{manifest: manifest(good), blob: answer(module("a")), referrers: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			fmt.Fprintf(w, `{"schemaVersion": 2, "manifests": [{"mediaType": %q, "artifactType": %q, "digest": %q, "size": %d}]}`, ocispec.MediaTypeImageManifest, SignatureType, Digest([]byte(manifest(good))), len(manifest(good)))
		}}, "got artifact type"},
	} {
		t.Run(name, func(t *testing.T) {
			web, roots := server(t, test.registry.ServeHTTP)
			s, _ := sources(t, Options{Roots: roots})
			a, err := s.Load(t.Context(), parse(t, "oci://"+strings.TrimPrefix(web.URL, "https://")+"/acme/a:1"), "")
			if test.want == "" {
				require.NoError(t, err)
				require.Equal(t, module("a"), a.Module)
				return
			}
			require.ErrorContains(t, err, test.want)
			require.Less(t, len(err.Error()), 1000)
		})
	}
}

// What a registry was shown must not come back in an error, and goes nowhere else.
func TestCredentialsStayHidden(t *testing.T) {
	const password = "correct horse battery"
	steps := map[string]http.HandlerFunc{
		"echo": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": "DENIED", "message": r.Header.Get("Authorization")}}})
		},
		"header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Docker-Content-Digest", r.Header.Get("Authorization"))
		},
		"location": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/?"+url.QueryEscape(r.Header.Get("Authorization")))
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
		"realm": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Www-Authenticate", `Bearer realm="https://169.254.169.254/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"plain realm": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Www-Authenticate", `Bearer realm="http://registry.example/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			web, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(name, "realm") && r.Header.Get("Authorization") == "" {
					w.Header().Set("Www-Authenticate", `Basic realm="x"`)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				step(w, r)
			})
			registry := strings.TrimPrefix(web.URL, "https://")
			s, _ := sources(t, Options{Roots: roots, Credentials: map[string]Credential{registry: {"robot", password}}})
			_, err := s.Load(t.Context(), model.Source{Scheme: model.SourceOCI, Registry: registry, Repository: "a", Tag: "1"}, "")
			require.Error(t, err)
			for _, secret := range []string{password, "cm9ib3Q6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"} {
				require.NotContains(t, err.Error(), secret)
			}
		})
	}
}
