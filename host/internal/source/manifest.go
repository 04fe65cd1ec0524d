package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wasmgate/wasmgate/host/internal/signature"
)

// Media types of layers that are a module, whoever named them: the Wasm image specification
// of solo.io, its older form, and the Wasm OCI artifact of the CNCF.
const (
	layerWasm    = "application/vnd.wasm.content.layer.v1+wasm"
	layerOldWasm = "application/vnd.module.wasm.content.layer.v1+wasm"
	layerCNCF    = "application/wasm"
	configWasm   = "application/vnd.wasm.config.v1+json"
)

// Media types of layers that are archives, of the compatible variant for docker and podman.
const (
	layerTarGzip = ocispec.MediaTypeImageLayerGzip
	layerTar     = ocispec.MediaTypeImageLayer
	layerDocker  = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Media types of manifests beside OCI's own.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// Where signatures are: an annotation of the manifest, a layer beside the module's, or an
// artifact that refers to the manifest.
const (
	SignatureAnnotation = "dev.wasmgate.minisig"
	SignatureType       = "application/vnd.wasmgate.minisig.v1"
)

// What a manifest may hold.
const (
	maxManifest = 1 << 20
	maxLayers   = 128
)

// contents is where in a registry a manifest says that its module is.
type contents struct {
	module     ocispec.Descriptor
	archive    bool                 // module is a tar file that holds it
	signatures []ocispec.Descriptor // layers
	inline     [][]byte             // signatures that stand in the manifest
}

// parseManifest finds the one module of a manifest. What could mean two is refused: another
// reader would take the other.
func parseManifest(data []byte) (*contents, error) {
	var m struct {
		ocispec.Manifest
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if m.Manifests != nil { // CVE-2021-41190: of one digest, and two readers see two things
		return nil, errors.New("read manifest: it is an index, too")
	}
	if len(m.Layers) == 0 || len(m.Layers) > maxLayers {
		return nil, fmt.Errorf("read manifest: got %d layers, want 1 to %d", len(m.Layers), maxLayers)
	}
	c := &contents{}
	if text := m.Annotations[SignatureAnnotation]; text != "" {
		c.inline = append(c.inline, []byte(text))
	}
	var modules []ocispec.Descriptor
	var types []string
	for _, l := range m.Layers {
		types = append(types, fmt.Sprintf("%.80q", l.MediaType))
		switch {
		case l.MediaType == layerWasm, l.MediaType == layerOldWasm, l.MediaType == layerCNCF:
			modules = append(modules, l)
		case isSignature(&l):
			c.signatures = append(c.signatures, l)
		}
	}
	if len(c.signatures) > maxSignatures {
		return nil, fmt.Errorf("read manifest: got %d signatures, want at most %d", len(c.signatures), maxSignatures)
	}
	switch last := m.Layers[len(m.Layers)-1]; {
	case len(modules) == 1:
		c.module = modules[0]
	case len(modules) == 0 && (last.MediaType == layerTarGzip || last.MediaType == layerTar || last.MediaType == layerDocker):
		c.module, c.archive = last, true // wasm-image-spec, spec-compat.md: the last layer
	default:
		return nil, fmt.Errorf("read manifest: got layers of the types %.300s, want one of %q, or an image whose last layer is %q", strings.Join(types, ", "), layerWasm, layerTarGzip)
	}
	return c, nil
}

// isSignature tells a signature's layer by its type, or as `oras push x.wasm x.wasm.minisig`
// names it.
func isSignature(l *ocispec.Descriptor) bool {
	return l.MediaType == SignatureType || strings.HasSuffix(l.Annotations[ocispec.AnnotationTitle], signature.Suffix)
}

// chooseManifest finds the one manifest of an index that holds a module: the one for Wasm,
// or the only one. What docker adds about its builds ("unknown/unknown") is no choice.
func chooseManifest(data []byte) (ocispec.Descriptor, error) {
	var index struct {
		ocispec.Index
		Layers json.RawMessage `json:"layers"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("read index: %w", err)
	}
	if index.Layers != nil {
		return ocispec.Descriptor{}, errors.New("read index: it is a manifest, too")
	}
	var all, wasm []ocispec.Descriptor
	for _, d := range index.Manifests {
		if d.MediaType != ocispec.MediaTypeImageManifest && d.MediaType != dockerManifest {
			continue
		}
		if d.Platform != nil && d.Platform.OS == "unknown" {
			continue
		}
		all = append(all, d)
		if d.Platform != nil && (d.Platform.Architecture == "wasm" || d.Platform.Architecture == "wasm32") {
			wasm = append(wasm, d)
		}
	}
	switch {
	case len(wasm) == 1:
		return wasm[0], nil
	case len(wasm) == 0 && len(all) == 1:
		return all[0], nil
	}
	return ocispec.Descriptor{}, fmt.Errorf("read index: got %d manifests, %d of them for wasm, want one", len(all), len(wasm))
}

// parseSignatureManifest is the layers of an artifact that is a signature of another.
func parseSignatureManifest(data []byte) ([]ocispec.Descriptor, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if m.ArtifactType != SignatureType {
		return nil, fmt.Errorf("read manifest: got artifact type %.80q, want %q", m.ArtifactType, SignatureType)
	}
	if len(m.Layers) != 1 {
		return nil, fmt.Errorf("read manifest: got %d layers, want 1", len(m.Layers))
	}
	return m.Layers, nil
}
