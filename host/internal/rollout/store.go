package rollout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// State is where a rollout stands.
type State string

// The states. A plugin has at most one rollout that is Running, and one that is Promoted.
const (
	Running    State = "running"
	Promoted   State = "promoted"
	RolledBack State = "rolled back" // by the operator
	Returned   State = "returned"    // by the gateway
)

// Entry is one rollout of a plugin: the last one, or the promoted one below it.
type Entry struct {
	Plugin string `json:"plugin"`
	// Base is the digest of the module that the plugin's source gives, "sha256:" and hex.
	// When the source gives another one the entry has no say any more.
	Base string `json:"base"`
	// Digest is the new module's, and Version what its manifest says.
	Digest  string `json:"digest"`
	Version string `json:"version,omitempty"`
	// Signatures came with it; they are judged again whenever the rules may have changed.
	Signatures [][]byte `json:"signatures,omitempty"`
	Share      Share    `json:"share"`
	Bounds     Bounds   `json:"bounds"`
	State      State    `json:"state"`
	// Reason is why it ended.
	Reason  string     `json:"reason,omitempty"`
	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"`
}

// Load reads the entries of a file; none when it is not there.
func Load(file string) ([]Entry, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read rollouts: %w", err)
	}
	var entries []Entry
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&entries); err != nil {
		return nil, fmt.Errorf("read rollouts: %s: %w", file, err)
	}
	for _, e := range entries {
		known := slices.Contains([]State{Running, Promoted, RolledBack, Returned}, e.State)
		if e.Plugin == "" || !known || !strings.HasPrefix(e.Digest, "sha256:") || !strings.HasPrefix(e.Base, "sha256:") {
			return nil, fmt.Errorf("read rollouts: %s: got the entry %+v, want plugin, base, digest and state", file, e)
		}
	}
	return entries, nil
}

// Save replaces the file at once: after a crash it holds the old entries or the new ones.
func Save(file string, entries []Entry) error {
	text, err := json.MarshalIndent(entries, "", "  ")
	if err != nil {
		return fmt.Errorf("write rollouts: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("write rollouts: %w", err)
	}
	if err := replace(file, append(text, '\n')); err != nil {
		return fmt.Errorf("write rollouts: %w", err)
	}
	return nil
}
