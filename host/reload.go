package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/config"
	"github.com/wasmgate/wasmgate/host/internal/control"
)

var errNotServing = errors.New("reload: the host does not serve")

// Reload reads the process file, the documents, the plugins and the certificates again, and serves what they
// say now. When anything is wrong, nothing changes, and the error, which status and
// readiness show too, says all of it. Reloads wait for each other.
func (h *Host) Reload(ctx context.Context) error {
	if !h.isServing() {
		return errNotServing
	}
	h.reloading.Lock()
	defer h.reloading.Unlock()
	if !h.isServing() { // it began to stop meanwhile
		return errNotServing
	}
	start := time.Now()
	s, err := h.rebuild(ctx)
	if err != nil {
		err = shown(h.options.Config, fmt.Errorf("reload: %w", err))
		h.recordRefusal(err)
		h.mu.Lock()
		h.reload = control.Reload{Time: time.Now(), Error: err.Error()}
		h.mu.Unlock()
		h.observer.Reloaded(false)
		h.log.Error("configuration is refused, the last good one serves on", "error", err)
		return err
	}
	h.log.Info("configuration is live", "apis", len(s.apis), "snapshot", short(s.digest), "took", time.Since(start).Round(time.Microsecond).String())
	return nil
}

// isServing tells whether the host is ready and not about to end.
func (h *Host) isServing() bool {
	select {
	case <-h.ready:
	default:
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.ending
}

func (h *Host) rebuild(ctx context.Context) (*snapshot, error) {
	old := h.core.current.config
	c, err := old.Reload()
	if err != nil {
		return nil, configErrors(err)
	}
	c, kept := keepFixed(old, c)
	with, err := h.core.setup(c)
	if err != nil {
		return nil, err
	}
	s, err := h.core.build(ctx, with, h.snapshot)
	if err != nil {
		with.release()
		return nil, err
	}
	if len(kept) > 0 {
		s.warnings = append(s.warnings, fmt.Sprintf("%s: %s changed, which counts from the next start on", c.File, strings.Join(kept, ", ")))
		h.log.Warn("some changes count from the next start on", "keys", kept)
	}
	if err := h.recordLoad(c, s); err != nil {
		s.serving.Discard()
		with.release()
		return nil, err
	}
	if err := h.replaceDoor(old, c); err != nil {
		s.serving.Discard()
		with.release()
		return nil, err
	}
	h.mu.Lock()
	h.core.adopt(with)
	h.mu.Unlock()
	h.swap(s)
	h.outdated(s)
	s.plugins.collect(h.log)
	h.mu.Lock()
	certs := h.door.certs
	h.mu.Unlock()
	certs.SetNames(h.names())
	certs.Refresh()
	return s, nil
}

// keepFixed is c with what only a new start can change as it was, and the keys of that.
func keepFixed(old, c *config.Config) (*config.Config, []string) {
	kept := *c
	kept.DataDir, kept.Listen.Admin, kept.Log = old.DataDir, old.Listen.Admin, old.Log
	kept.Plugins.Instances, kept.Plugins.ModuleBytes = old.Plugins.Instances, old.Plugins.ModuleBytes
	var keys []string
	for _, part := range []struct {
		key    string
		differ bool
	}{
		{"data_dir", old.DataDir != c.DataDir},
		{"listen.admin", old.Listen.Admin != c.Listen.Admin},
		{"log", !reflect.DeepEqual(old.Log, c.Log)},
		{"plugins.instances", old.Plugins.Instances != c.Plugins.Instances},
		{"plugins.module_bytes", old.Plugins.ModuleBytes != c.Plugins.ModuleBytes},
	} {
		if part.differ {
			keys = append(keys, part.key)
		}
	}
	return &kept, keys
}

// watched is what is watched for changes: the folders of documents and plugins, the
// process file, and the files that policies name.
func (h *Host) watched() []string {
	h.mu.Lock()
	c := h.core.current.config
	h.mu.Unlock()
	folders := []string{filepath.Clean(c.APIs.Dir), filepath.Clean(c.Plugins.Dir)}
	if c.File != "" {
		// Kubernetes swaps the link ..data beside the file.
		folders = append(folders, filepath.Clean(c.File), filepath.Join(filepath.Dir(c.File), "..data"))
	}
	return append(folders, h.core.modules.files()...)
}
