package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wasmgate/wasmgate/host/model"
)

// Pin is what a source was when it was pulled.
type Pin struct {
	// Source is the source as it stands in policies.
	Source string `json:"source"`
	// Digest is the module's.
	Digest string `json:"digest"`
	// Manifest is the digest of the OCI manifest; empty for other sources.
	Manifest string `json:"manifest,omitempty"`
	// Signatures are the texts that came with it.
	Signatures []string `json:"signatures,omitempty"`
	// Pulled is when.
	Pulled time.Time `json:"pulled"`
}

const maxPin = 1 << 20

// Each pin is a file, so that the gateway and `wasmgate plugin pull` beside it need no lock.
func (s *Store) pinPath(source string) string {
	return filepath.Join(s.dir, "pins", strings.TrimPrefix(Digest([]byte(source)), digestPrefix)+".json")
}

// Pin is the pin of a source; ok is false when there is none. One that cannot be read is an
// error and not none: else whoever damages it decides that the source is asked again.
func (s *Store) Pin(source string) (p Pin, ok bool, err error) {
	path := s.pinPath(source)
	if p, err = readPin(path); errors.Is(err, fs.ErrNotExist) {
		return Pin{}, false, nil
	}
	if err == nil && p.Source != source {
		err = fmt.Errorf("%s: it is of %q", path, p.Source)
	}
	if err != nil {
		return Pin{}, false, fmt.Errorf("read pin of %s: %w; `wasmgate plugin pull` makes it anew", source, err)
	}
	return p, true, nil
}

func readPin(path string) (p Pin, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return Pin{}, err
	}
	if info.Size() > maxPin {
		return Pin{}, fmt.Errorf("%s: it has more than %d bytes", path, maxPin)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Pin{}, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return Pin{}, fmt.Errorf("%s: %w", path, err)
	}
	if !model.IsDigest(p.Digest) || p.Manifest != "" && !model.IsDigest(p.Manifest) {
		return Pin{}, fmt.Errorf("%s: digests %q and %q, want sha256:HEX", path, p.Digest, p.Manifest)
	}
	return p, nil
}

// SetPin writes p down, in place of what there was.
func (s *Store) SetPin(p Pin) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		err = replace(s.pinPath(p.Source), append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write pin of %s: %w", p.Source, err)
	}
	return nil
}

// DropPin forgets a source, which is asked again then; ok says whether there was a pin.
func (s *Store) DropPin(source string) (ok bool, err error) {
	err = os.Remove(s.pinPath(source))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Pins is all pins, by the names of their files. What cannot be read is an error, beside
// which the others are given.
func (s *Store) Pins() ([]Pin, error) {
	paths, err := filepath.Glob(filepath.Join(s.dir, "pins", "*.json"))
	var pins []Pin
	errs := []error{err}
	for _, path := range paths {
		p, err := readPin(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("read pin: %w", err))
			continue
		}
		pins = append(pins, p)
	}
	return pins, errors.Join(errs...)
}
