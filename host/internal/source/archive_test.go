package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/signature"
)

// entry is one of an archive; a size without data is zeros.
type entry struct {
	name string
	kind byte
	data []byte
	size int64
	link string
}

func tarball(entries ...entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		if e.data != nil {
			e.size = int64(len(e.data))
		}
		if err := w.WriteHeader(&tar.Header{Name: e.name, Typeflag: e.kind, Size: e.size, Linkname: e.link, Mode: 0o644}); err != nil {
			panic(err)
		}
		if e.data == nil {
			e.data = make([]byte, e.size)
		}
		if _, err := w.Write(e.data); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestArchive(t *testing.T) {
	wasm := entry{name: "plugin.wasm", data: module("a")}
	many := make([]entry, maxEntries+1)
	for i := range many {
		many[i].name = "x"
	}
	for name, test := range map[string]struct {
		entries []entry
		want    string
	}{
		"one":                    {[]entry{wasm}, ""},
		"as docker copies":       {[]entry{{name: "./", kind: tar.TypeDir}, {name: "./plugin.wasm", data: module("a")}, {name: "runtime-config.json", data: []byte("{}")}}, ""},
		"at the root":            {[]entry{{name: "/plugin.wasm", data: module("a")}}, ""},
		"signed":                 {[]entry{wasm, {name: "plugin.wasm.minisig", data: []byte(someSignature)}}, ""},
		"none":                   {[]entry{{name: "sub/plugin.wasm", data: module("a")}}, "no plugin.wasm at its root"},
		"empty":                  {nil, "no plugin.wasm at its root"},
		"twice":                  {[]entry{wasm, {name: "./plugin.wasm", data: module("b")}}, `entry "./plugin.wasm": it is there twice`},
		"a symbolic link":        {[]entry{{name: "plugin.wasm", kind: tar.TypeSymlink, link: "/etc/passwd"}}, "type '2', want a file or a folder"},
		"a symbolic link beside": {[]entry{wasm, {name: "x", kind: tar.TypeSymlink, link: "/etc"}}, "type '2', want a file or a folder"},
		"a hard link":            {[]entry{wasm, {name: "x", kind: tar.TypeLink, link: "plugin.wasm"}}, "type '1', want a file or a folder"},
		"a device":               {[]entry{{name: "plugin.wasm", kind: tar.TypeChar}}, "type '3'"},
		"a pipe":                 {[]entry{{name: "plugin.wasm", kind: tar.TypeFifo}}, "type '6'"},
		"a way out":              {[]entry{wasm, {name: "../../etc/passwd", data: []byte("x")}}, "a name that leads out of the archive"},
		"a way out and back":     {[]entry{{name: "x/../plugin.wasm", data: module("a")}}, "a name that leads out of the archive"},
		"a way out on windows":   {[]entry{{name: `..\plugin.wasm`, data: module("a")}}, "a name that leads out of the archive"},
		"many":                   {many, "more than 64 entries"},
		"long":                   {[]entry{{name: "plugin.wasm", size: maxBytes + 1}}, "it has more than 1048576 bytes"},
		"long beside":            {[]entry{{name: "x", size: maxBytes + maxBeside}, wasm}, "the archive holds more than it may"},
		"a long signature":       {[]entry{wasm, {name: "plugin.wasm.minisig", size: signature.MaxBytes + 1}}, "it has more than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			plain := tarball(test.entries...)
			for _, layer := range [][]byte{plain, gzipped(plain)} {
				got, sig, err := readArchive(layer, maxBytes)
				if test.want != "" {
					require.ErrorContains(t, err, test.want)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, module("a"), got)
				require.Equal(t, name == "signed", sig != nil)
			}
		})
	}
	for name, layer := range map[string][]byte{"nothing": {}, "garbage": []byte("garbage"), "half a gzip": gzipped(tarball(wasm))[:20],
		"half a tar": tarball(wasm)[:600], "a module": module("a")} {
		_, _, err := readArchive(layer, maxBytes)
		require.ErrorContains(t, err, "read layer: ", name)
	}
}

func TestStoreCollects(t *testing.T) {
	s := OpenStore(t.TempDir(), maxBytes)
	removed, err := s.Collect(func(string) bool { return false }, time.Now())
	require.NoError(t, err, "nothing was ever put")
	require.Zero(t, removed)
	var digests []string
	for _, name := range []string{"a", "b", "c"} {
		d, err := s.Put(module(name))
		require.NoError(t, err)
		digests = append(digests, d)
	}
	keep := func(d string) bool { return d == digests[0] }
	removed, err = s.Collect(keep, time.Now())
	require.NoError(t, err)
	require.Zero(t, removed, "they are fresh")
	removed, err = s.Collect(keep, time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	require.Equal(t, 2, removed)
	got, err := s.Get(digests[0])
	require.NoError(t, err)
	require.Equal(t, module("a"), got)
	_, err = s.Get(digests[1])
	require.ErrorContains(t, err, "no such file")
}

func FuzzArchive(f *testing.F) {
	good := tarball(entry{name: "plugin.wasm", data: []byte("module")}, entry{name: "plugin.wasm.minisig", data: []byte("sig")})
	f.Add(good)
	f.Add(gzipped(good))
	f.Add(tarball(entry{name: "../x", kind: tar.TypeSymlink, link: "y"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		module, sig, err := readArchive(data, 1<<10)
		if err != nil {
			require.Nil(t, module)
			require.Nil(t, sig)
			return
		}
		require.LessOrEqual(t, len(module), 1<<10)
		require.LessOrEqual(t, len(sig), signature.MaxBytes)
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(manifest(layer(layerWasm, module("a")))), false)
	f.Add([]byte(manifest(layer(layerTarGzip, module("a")), layer(SignatureType, nil))), false)
	f.Add([]byte(`{"manifests": [{"platform": {"os": "wasip1", "architecture": "wasm"}, "mediaType": "application/vnd.oci.image.manifest.v1+json"}]}`), true)
	f.Fuzz(func(t *testing.T, data []byte, index bool) {
		if index {
			_, _ = chooseManifest(data) // it does not panic
			return
		}
		c, err := parseManifest(data)
		if err != nil {
			require.Nil(t, c)
			return
		}
		require.NotEmpty(t, c.module.MediaType)
		require.LessOrEqual(t, len(c.signatures), maxSignatures)
	})
}
