package tls

import (
	"bytes"
	"context"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long files must be quiet before they are read: certificate and key are
	// written one after the other, and a Kubernetes volume swaps a symbolic link.
	settle = 200 * time.Millisecond
	// poll is how often they are read without any event: network file systems send none,
	// nor does a link whose far end is written in place.
	poll = time.Minute
)

// pairs is the source of the mode Files.
type pairs struct {
	files  []Pair
	log    *slog.Logger
	poll   time.Duration
	loaded atomic.Pointer[pairSet]

	reloading sync.Mutex // one at a time
}

// pairSet is what was read; it is never changed.
type pairSet struct {
	pairs  []loadedPair
	byName map[string][]*stdtls.Certificate // names and wildcards, in the order of the files
}

type loadedPair struct {
	certPEM, keyPEM []byte
	cert            *stdtls.Certificate
	err             error // why the newest content of the files is not served
}

func openPairs(files []Pair, log *slog.Logger) (*pairs, error) {
	if len(files) == 0 {
		return nil, errors.New("no certificate files, want one pair at least")
	}
	p := &pairs{files: files, log: log, poll: poll}
	set, _ := p.read(&pairSet{pairs: make([]loadedPair, len(files))})
	var errs []error
	for i := range set.pairs {
		errs = append(errs, set.pairs[i].err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	p.loaded.Store(set)
	return p, nil
}

// read gives the set as the files are now, with the certificate from old where a pair is
// bad, and whether anything differs from old.
func (p *pairs) read(old *pairSet) (set *pairSet, changed bool) {
	set = &pairSet{pairs: make([]loadedPair, len(p.files)), byName: map[string][]*stdtls.Certificate{}}
	for i, f := range p.files {
		was, is := &old.pairs[i], &set.pairs[i]
		*is = *was
		certPEM, err1 := os.ReadFile(f.Certificate)
		keyPEM, err2 := os.ReadFile(f.Key)
		err := errors.Join(err1, err2)
		if err == nil && bytes.Equal(certPEM, was.certPEM) && bytes.Equal(keyPEM, was.keyPEM) {
			is.err = nil
		} else if err == nil {
			var cert stdtls.Certificate
			if cert, err = stdtls.X509KeyPair(certPEM, keyPEM); err == nil {
				*is = loadedPair{certPEM: certPEM, keyPEM: keyPEM, cert: &cert}
			}
		}
		if err != nil {
			is.err = fmt.Errorf("read certificate %q with key %q: %w", f.Certificate, f.Key, err)
		}
		changed = changed || is.cert != was.cert || fmt.Sprint(is.err) != fmt.Sprint(was.err)
		if is.cert == nil {
			continue
		}
		for _, n := range is.cert.Leaf.DNSNames {
			n = strings.ToLower(n)
			set.byName[n] = append(set.byName[n], is.cert)
		}
	}
	return set, changed
}

func (p *pairs) certificate(hello *stdtls.ClientHelloInfo) (*stdtls.Certificate, error) {
	set := p.loaded.Load()
	name := strings.ToLower(hello.ServerName)
	choices := set.byName[name]
	if choices == nil {
		choices = set.byName[wildcard(name)]
	}
	for _, c := range choices {
		if len(choices) == 1 || hello.SupportsCertificate(c) == nil { // ECDSA and RSA side by side
			return c, nil
		}
	}
	if len(choices) > 0 {
		return choices[0], nil
	}
	return set.pairs[0].cert, nil
}

func (p *pairs) setNames([]string) {}

func (p *pairs) close() {}

// run reads the files again after events in their directories, and at times without.
func (p *pairs) run(ctx context.Context) {
	var events <-chan fsnotify.Event
	var failures <-chan error
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		p.log.Warn("certificate files are read by the clock only", "error", err, "interval", p.poll)
	} else {
		defer watcher.Close()
		events, failures = watcher.Events, watcher.Errors
	}
	tick := time.NewTicker(p.poll)
	defer tick.Stop()
	quiet := time.NewTimer(0) // what changed since they were opened
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			quiet.Reset(settle)
		case err := <-failures:
			p.log.Warn("watch certificate files", "error", err)
			quiet.Reset(settle)
		case <-tick.C:
			p.reload(watcher)
		case <-quiet.C:
			p.reload(watcher)
		}
	}
}

// reload watches before it reads, so that no change falls between the two. A directory
// that was removed and made again has lost its watch: so they are added every time.
func (p *pairs) reload(watcher *fsnotify.Watcher) {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	if watcher != nil {
		for _, f := range p.files {
			for _, dir := range []string{filepath.Dir(f.Certificate), filepath.Dir(f.Key)} {
				if err := watcher.Add(dir); err != nil {
					p.log.Debug("watch certificate files", "dir", dir, "error", err)
				}
			}
		}
	}
	old := p.loaded.Load()
	set, changed := p.read(old)
	if !changed {
		return
	}
	p.loaded.Store(set)
	for i := range set.pairs {
		switch is, was := &set.pairs[i], &old.pairs[i]; {
		case is.err != nil && fmt.Sprint(is.err) != fmt.Sprint(was.err):
			p.log.Error("certificate is refused, the old one serves on", "error", is.err)
		case is.cert != was.cert:
			p.log.Info("certificate replaced", "file", p.files[i].Certificate,
				"names", is.cert.Leaf.DNSNames, "not_after", is.cert.Leaf.NotAfter)
		}
	}
}

func (p *pairs) status() []CertStatus {
	var s []CertStatus
	for i, l := range p.loaded.Load().pairs {
		s = append(s, CertStatus{
			Names: l.cert.Leaf.DNSNames, NotAfter: l.cert.Leaf.NotAfter,
			Source: string(Files) + ":" + p.files[i].Certificate, Err: l.err,
		})
	}
	return s
}
