package source

import (
	"encoding/json"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

func TestParseManifest(t *testing.T) {
	wasm, image := layer(layerWasm, module("a")), layer(layerDocker, module("image"))
	titled := layer("application/octet-stream", []byte(someSignature))
	titled.Annotations = map[string]string{ocispec.AnnotationTitle: "a.wasm.minisig"}
	for name, test := range map[string]struct {
		layers     []ocispec.Descriptor
		module     ocispec.Descriptor
		archive    bool
		signatures int
	}{
		"one":                     {[]ocispec.Descriptor{wasm}, wasm, false, 0},
		"with its config, older":  {[]ocispec.Descriptor{layer("application/vnd.module.wasm.config.v1+json", nil), layer(layerOldWasm, module("a"))}, layer(layerOldWasm, module("a")), false, 0},
		"beside an image":         {[]ocispec.Descriptor{wasm, image}, wasm, false, 0},
		"the last of an image":    {[]ocispec.Descriptor{layer(layerDocker, nil), image}, image, true, 0},
		"signed by type or title": {[]ocispec.Descriptor{titled, wasm, layer(SignatureType, nil)}, wasm, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseManifest([]byte(manifest(test.layers...)))
			require.NoError(t, err)
			require.Equal(t, test.module, c.module)
			require.Equal(t, test.archive, c.archive)
			require.Len(t, c.signatures, test.signatures)
		})
	}
	_, err := parseManifest([]byte(manifest(image, layer("text/plain", nil))))
	require.ErrorContains(t, err, "want one of", "the image's layer is not the last")
	_, err = parseManifest([]byte(`{"layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd"}]}`))
	require.ErrorContains(t, err, "tar+zstd")
}

func TestChooseManifest(t *testing.T) {
	on := func(os, arch string) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Size: int64(len(os + arch)), Platform: &ocispec.Platform{OS: os, Architecture: arch}}
	}
	other := ocispec.Descriptor{MediaType: "application/json"}
	for name, test := range map[string]struct {
		all  []ocispec.Descriptor
		want ocispec.Descriptor
		err  string
	}{
		"for wasm":           {[]ocispec.Descriptor{on("linux", "amd64"), on("wasip1", "wasm"), on("unknown", "unknown")}, on("wasip1", "wasm"), ""},
		"the only one":       {[]ocispec.Descriptor{on("linux", "amd64"), on("unknown", "unknown"), other}, on("linux", "amd64"), ""},
		"two for wasm":       {[]ocispec.Descriptor{on("wasip1", "wasm"), on("js", "wasm")}, ocispec.Descriptor{}, "got 2 manifests, 2 of them for wasm"},
		"two, none for wasm": {[]ocispec.Descriptor{on("linux", "amd64"), on("linux", "arm64")}, ocispec.Descriptor{}, "got 2 manifests, 0 of them for wasm"},
		"none":               {nil, ocispec.Descriptor{}, "got 0 manifests"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(ocispec.Index{Manifests: test.all})
			require.NoError(t, err)
			got, err := chooseManifest(data)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}
