package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/wasmgate/wasmgate/host/model"
)

// Layout is the form that a module has in a registry.
type Layout string

// The layouts, both of the Wasm image specification that Istio and others read.
const (
	// LayoutArtifact is an artifact whose layer is the module.
	LayoutArtifact Layout = "artifact"
	// LayoutImage is an image of nothing but plugin.wasm, which every registry takes and
	// docker and podman can move.
	LayoutImage Layout = "image"
)

// Parcel is what [Sources.Push] sends. The same parcel always has the same digest.
type Parcel struct {
	// Module is the module, Signature the text of its signature; nil is none.
	Module, Signature []byte
	// ID, Version and Description are shown by registries; Description may be empty.
	ID, Version, Description string
	// Layout is LayoutArtifact when empty.
	Layout Layout
}

// Push sends a module to the tag of to, and gives the digest of the manifest there.
func (s *Sources) Push(ctx context.Context, to model.Source, p *Parcel) (manifest string, err error) {
	if to.Scheme != model.SourceOCI || to.Tag == "" || to.Digest != "" {
		return "", fmt.Errorf("push: got %q, want oci://REGISTRY/REPOSITORY:TAG", to)
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if manifest, err = s.push(ctx, to, p); err != nil {
		return "", fmt.Errorf("push %s: %w", to, s.network.explain(ctx, err, s.options.Timeout))
	}
	return manifest, nil
}

func (s *Sources) push(ctx context.Context, to model.Source, p *Parcel) (string, error) {
	repo, err := s.repository(to)
	if err != nil {
		return "", err
	}
	config, layer, err := p.blobs()
	if err != nil {
		return "", err
	}
	for _, b := range []blob{config, layer} {
		if err := pushBlob(ctx, repo, b); err != nil {
			return "", err
		}
	}
	data, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config.desc, Layers: []ocispec.Descriptor{layer.desc}, Annotations: p.annotations()})
	if err != nil {
		return "", err
	}
	if len(data) > maxManifest {
		return "", fmt.Errorf("the manifest has %d bytes, want at most %d", len(data), maxManifest)
	}
	desc := content.NewDescriptorFromBytes(ocispec.MediaTypeImageManifest, data)
	if err := repo.PushReference(ctx, desc, bytes.NewReader(data), to.Tag); err != nil {
		return "", fmt.Errorf("manifest: %w", err)
	}
	return desc.Digest.String(), nil
}

// blob is data with what a manifest says of it.
type blob struct {
	desc ocispec.Descriptor
	data []byte
}

func newBlob(mediaType string, data []byte) blob {
	return blob{content.NewDescriptorFromBytes(mediaType, data), data}
}

func pushBlob(ctx context.Context, repo *remote.Repository, b blob) error {
	if there, err := repo.Blobs().Exists(ctx, b.desc); err != nil || there {
		return err
	}
	if err := repo.Blobs().Push(ctx, b.desc, bytes.NewReader(b.data)); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
		return fmt.Errorf("layer %s: %w", b.desc.Digest, err)
	}
	return nil
}

func (p *Parcel) annotations() map[string]string {
	a := map[string]string{ocispec.AnnotationTitle: p.ID}
	set := func(key, value string) {
		if value != "" {
			a[key] = value
		}
	}
	set(ocispec.AnnotationVersion, p.Version)
	set(ocispec.AnnotationDescription, p.Description)
	set(SignatureAnnotation, string(p.Signature))
	if p.Layout == LayoutImage {
		set("module.wasm.image/variant", "compat")
	}
	return a
}

// blobs are the config and the layer of a layout.
func (p *Parcel) blobs() (config, layer blob, err error) {
	switch p.Layout {
	case LayoutArtifact, "":
		layer = newBlob(layerWasm, p.Module)
		layer.desc.Annotations = map[string]string{ocispec.AnnotationTitle: p.ID + ".wasm"}
		return newBlob(configWasm, []byte("{}")), layer, nil
	case LayoutImage:
		archive, compressed, err := p.archive()
		if err != nil {
			return config, layer, err
		}
		data, err := json.Marshal(ocispec.Image{Platform: ocispec.Platform{Architecture: "wasm", OS: "wasip1"},
			RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(archive)}}})
		return newBlob(ocispec.MediaTypeImageConfig, data), newBlob(layerTarGzip, compressed), err
	}
	return config, layer, fmt.Errorf("layout %q, want %q or %q", p.Layout, LayoutArtifact, LayoutImage)
}

// archive is the image's layer as it is and as it is sent, with nothing of its time in it.
func (p *Parcel) archive() (plain, compressed []byte, err error) {
	var b, z bytes.Buffer
	w := tar.NewWriter(&b)
	err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: moduleName, Mode: 0o644, Size: int64(len(p.Module))})
	if err == nil {
		_, err = w.Write(p.Module)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, nil, err
	}
	g := gzip.NewWriter(&z)
	_, err = g.Write(b.Bytes())
	err = errors.Join(err, g.Close())
	return b.Bytes(), z.Bytes(), err
}
