package host

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long files must be quiet before they are read: an editor or a copy writes
// several times. settleMax bounds that for a folder that never is.
const (
	settle    = 50 * time.Millisecond
	settleMax = time.Second
)

// watch calls changed, one call at a time, after anything changed in one of the folders,
// until ctx ends. Folders are watched and not files: editors rename, and Kubernetes swaps
// symbolic links. A folder that does not exist yet is found when its parent changes.
func watch(ctx context.Context, log *slog.Logger, folders func() []string, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close()
	watched := make(map[string]bool)
	follow := func() {
		for _, dir := range folders() {
			for _, d := range [...]string{dir, filepath.Dir(dir)} {
				if watched[d] {
					continue
				}
				if err := w.Add(d); err == nil {
					watched[d] = true
				}
			}
		}
	}
	follow()
	quiet := time.NewTimer(settle)
	quiet.Stop()
	var first time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.Errors:
			// Events may be lost (a full queue): look at everything once.
			log.Warn("watch files", "error", err)
			quiet.Reset(settle)
		case e := <-w.Events:
			e.Name = filepath.Clean(e.Name) // what is in . comes as ./name
			if e.Op&(fsnotify.Remove|fsnotify.Rename) != 0 {
				delete(watched, e.Name)
			}
			if e.Op == fsnotify.Chmod || !within(e.Name, folders()) {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(min(settle, max(0, settleMax-time.Since(first))))
		case <-quiet.C:
			first = time.Time{}
			follow()
			changed()
			follow()
		}
	}
}

// within tells whether name is one of the folders or stands in one.
func within(name string, folders []string) bool {
	for _, dir := range folders {
		if name == dir || strings.HasPrefix(name, dir+string(filepath.Separator)) {
			return true
		}
	}
	return false
}
