package source

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/wasmgate/wasmgate/host/internal/signature"
	"github.com/wasmgate/wasmgate/host/model"
)

// repository is the client for one repository.
func (s *Sources) repository(at model.Source) (*remote.Repository, error) {
	credential, err := s.credential(at.Registry)
	if err != nil {
		return nil, err
	}
	client := &auth.Client{Client: s.network.client, Cache: auth.NewCache(), Credential: credential}
	client.SetUserAgent(userAgent)
	return &remote.Repository{
		Client: client, PlainHTTP: s.network.isPlain(at.Registry),
		Reference:            registry.Reference{Registry: at.Registry, Repository: at.Repository},
		ManifestMediaTypes:   []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, dockerManifest, dockerIndex},
		MaxMetadataBytes:     maxManifest,
		ReferrerListMaxPages: 4,
	}, nil
}

// credential is what the registry at host is shown, and nobody else.
func (s *Sources) credential(host string) (auth.CredentialFunc, error) {
	if c, ok := s.options.Credentials[host]; ok {
		s.network.hide(c.Username, c.Password)
		name := registry.Reference{Registry: host}.Host() // Docker Hub answers under another
		return auth.StaticCredential(name, auth.Credential{Username: c.Username, Password: c.Password}), nil
	}
	if s.options.DockerConfig == "" {
		return nil, nil
	}
	if _, err := os.Stat(s.options.DockerConfig); err != nil {
		return nil, fmt.Errorf("read plugins.pull.docker_config: %w", err) // the library takes none for an empty one
	}
	file, err := credentials.NewFileStore(s.options.DockerConfig)
	if err != nil {
		return nil, errors.New("read plugins.pull.docker_config: it is no config.json of docker") // the error may show some of it
	}
	get := credentials.Credential(file)
	return func(ctx context.Context, name string) (auth.Credential, error) {
		c, err := get(ctx, name)
		s.network.hide(c.Username, c.Password)
		return c, err
	}, nil
}

// hide keeps a credential from being told in errors.
func (n *network) hide(username, password string) {
	if password != "" {
		n.secrets.Add(password)
		n.secrets.Add(base64.StdEncoding.EncodeToString([]byte(username + ":" + password)))
	}
}

// oci gets a module from a registry. Nothing that the registry says about sizes and digests
// is believed.
func (s *Sources) oci(ctx context.Context, a *Artifact) error {
	repo, err := s.repository(a.Source)
	if err != nil {
		return err
	}
	reference := a.Source.Digest
	if reference == "" {
		reference = a.Source.Tag
	}
	root, data, err := fetchManifest(ctx, repo, reference)
	if err != nil {
		return err
	}
	a.Manifest = root.Digest.String()
	if root.MediaType == ocispec.MediaTypeImageIndex || root.MediaType == dockerIndex {
		chosen, err := chooseManifest(data)
		if err != nil {
			return err
		}
		if root, data, err = fetchManifest(ctx, repo, chosen.Digest.String()); err != nil {
			return err
		}
	}
	c, err := parseManifest(data)
	if err != nil {
		return err
	}
	if err := s.unpack(ctx, repo, c, a); err != nil {
		return err
	}
	a.Signatures = append(a.Signatures, c.inline...)
	for _, layer := range c.signatures {
		text, err := fetchBlob(ctx, repo, layer, signature.MaxBytes)
		if err != nil {
			return fmt.Errorf("its signature: %w", err)
		}
		a.Signatures = append(a.Signatures, text)
	}
	if len(a.Signatures) > 0 {
		return nil
	}
	return s.referring(ctx, repo, root, a)
}

// unpack gets the module itself.
func (s *Sources) unpack(ctx context.Context, repo *remote.Repository, c *contents, a *Artifact) error {
	max := s.options.MaxBytes
	if !c.archive {
		var err error
		a.Module, err = fetchBlob(ctx, repo, c.module, max)
		return err
	}
	layer, err := fetchBlob(ctx, repo, c.module, max+maxBeside)
	if err != nil {
		return err
	}
	module, sig, err := readArchive(layer, max)
	if err != nil {
		return err
	}
	a.Module = module
	if sig != nil {
		a.Signatures = append(a.Signatures, sig)
	}
	return nil
}

// referring gets the signatures that refer to a manifest: they can be made after it.
func (s *Sources) referring(ctx context.Context, repo *remote.Repository, manifest ocispec.Descriptor, a *Artifact) error {
	var found []ocispec.Descriptor
	if err := repo.Referrers(ctx, manifest, SignatureType, func(some []ocispec.Descriptor) error {
		found = append(found, some...)
		return nil
	}); err != nil {
		return fmt.Errorf("its signatures: %w", err)
	}
	if len(found) > maxSignatures {
		return fmt.Errorf("its signatures: got %d, want at most %d", len(found), maxSignatures)
	}
	for _, d := range found {
		_, data, err := fetchManifest(ctx, repo, d.Digest.String())
		if err != nil {
			return fmt.Errorf("its signature: %w", err)
		}
		layers, err := parseSignatureManifest(data)
		if err != nil {
			return fmt.Errorf("its signature: %w", err)
		}
		for _, layer := range layers {
			text, err := fetchBlob(ctx, repo, layer, signature.MaxBytes)
			if err != nil {
				return fmt.Errorf("its signature: %w", err)
			}
			a.Signatures = append(a.Signatures, text)
		}
	}
	return nil
}

// fetchManifest is a manifest by tag or digest, with its digest as it is.
func fetchManifest(ctx context.Context, repo *remote.Repository, reference string) (ocispec.Descriptor, []byte, error) {
	desc, body, err := repo.FetchReference(ctx, reference)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	defer body.Close()
	if desc.Size > maxManifest { // the library cuts off what is longer
		return ocispec.Descriptor{}, nil, fmt.Errorf("manifest %s: it has %d bytes, want at most %d", reference, desc.Size, maxManifest)
	}
	data, err := readAll(body, maxManifest)
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("manifest %s: %w", reference, err)
	}
	got := digest.FromBytes(data)
	if got != desc.Digest || desc.Size != int64(len(data)) || model.IsDigest(reference) && reference != got.String() {
		return ocispec.Descriptor{}, nil, fmt.Errorf("manifest %s: got one with digest %s", reference, got)
	}
	return desc, data, nil
}

// fetchBlob is a blob of at most max bytes, verified.
func fetchBlob(ctx context.Context, repo *remote.Repository, desc ocispec.Descriptor, max int64) ([]byte, error) {
	if !model.IsDigest(desc.Digest.String()) {
		return nil, fmt.Errorf("layer digest %.80q, want sha256:HEX", desc.Digest)
	}
	if desc.Size < 0 || desc.Size > max { // it is allocated at once
		return nil, fmt.Errorf("layer %s: it has %d bytes, want at most %d", desc.Digest, desc.Size, max)
	}
	body, err := repo.Blobs().Fetch(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", desc.Digest, err)
	}
	defer body.Close()
	data, err := content.ReadAll(body, desc)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", desc.Digest, err)
	}
	return data, nil
}
