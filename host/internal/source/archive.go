package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/signature"
)

// moduleName is the module's name in an archive, at its root.
const moduleName = "plugin.wasm"

// What an archive may hold. Nothing of it is ever written to the disk under its own name.
const (
	maxEntries = 64
	maxBeside  = 1 << 20 // bytes beside the module
)

// errArchive is an archive that holds more than it may.
var errArchive = errors.New("the archive holds more than it may")

// bounded counts what was unpacked, not what came: a few KB of gzip make GBs.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errArchive
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// readArchive finds plugin.wasm, and plugin.wasm.minisig if it is there, in a layer.
func readArchive(layer []byte, max int64) (module, sig []byte, err error) {
	var r io.Reader = bytes.NewReader(layer)
	if bytes.HasPrefix(layer, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, fmt.Errorf("read layer: %w", err)
		}
		r = z
	}
	archive := tar.NewReader(&bounded{r, max + maxBeside})
	found := map[string][]byte{}
	for n := 0; ; n++ {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read layer: %w", err)
		}
		if n == maxEntries {
			return nil, nil, fmt.Errorf("read layer: more than %d entries", maxEntries)
		}
		if err := readEntry(archive, h, found, max); err != nil {
			return nil, nil, fmt.Errorf("read layer: entry %.80q: %w", h.Name, err)
		}
	}
	module, ok := found[moduleName]
	if !ok {
		return nil, nil, fmt.Errorf("read layer: no %s at its root", moduleName)
	}
	return module, found[moduleName+signature.Suffix], nil
}

func readEntry(archive *tar.Reader, h *tar.Header, found map[string][]byte, max int64) error {
	name := strings.TrimPrefix(strings.TrimPrefix(h.Name, "."), "/")
	// Others unpack such entries over /etc/passwd; nobody needs one.
	if strings.Contains("/"+name+"/", "/../") || strings.ContainsAny(name, "\\\x00") {
		return errors.New("a name that leads out of the archive")
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("type %q, want a file or a folder", h.Typeflag)
	}
	limit := max
	switch name {
	case moduleName:
	case moduleName + signature.Suffix:
		limit = signature.MaxBytes
	default:
		return nil
	}
	if _, twice := found[name]; twice {
		return errors.New("it is there twice")
	}
	data, err := readAll(archive, limit)
	if err != nil {
		return err
	}
	found[name] = data
	return nil
}
