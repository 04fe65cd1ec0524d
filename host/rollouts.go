package host

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
	"github.com/wasmgate/wasmgate/host/internal/rollout"
)

// rollouts are the versions of plugins that serve instead of, or beside, what the plugins'
// sources give. It is safe for concurrent use; changes are made one at a time, under
// Host.reloading.
type rollouts struct {
	file    string
	modules rollout.Modules

	mu      sync.Mutex
	entries []rollout.Entry       // as saved: for a plugin the last one, and the promoted one before it
	live    map[string]*candidate // by digest: the modules of entries that are running or promoted
}

// candidate is a version that may serve, with what it and the old one decided.
type candidate struct {
	module *guest.Module
	share  rollout.Share
	// percent is the share of requests in hundredths of a percent. It changes while routes
	// are in use, and is 0 as soon as the version is taken back.
	percent atomic.Int64
	old     pipeline.Tally
	now     pipeline.Tally
	serial  uint64 // tells the routes of one rollout from those of the next
}

// takes tells whether the candidate serves x.
func (c *candidate) takes(stage string) func(x *exchange.Exchange) bool {
	share := c.share // it may change, and other routes are made then
	name, value := share.Named()
	return func(x *exchange.Exchange) bool {
		percent := c.percent.Load()
		switch {
		case percent == 0:
			return false
		case share.Stage != "":
			return share.Stage == stage
		case share.Header == "":
			return rand.Int64N(100_00) < percent
		case value == "":
			return x.Header.Has(name)
		}
		return string(x.Header.Get(name)) == value
	}
}

func hundredths(s rollout.Share) int64 {
	if s.Percent == 0 {
		return 100_00
	}
	return int64(s.Percent*100 + 0.5)
}

// openRollouts reads what was rolled out when the gateway ended. A version that is gone from
// the disk, or does not compile any more, is an error: to serve another one in its place
// would be a change that nobody made.
func openRollouts(ctx context.Context, dataDir string, engine *guest.Engine) (*rollouts, error) {
	dir := filepath.Join(dataDir, "rollouts")
	rs := &rollouts{file: filepath.Join(dir, "rollouts.json"), modules: rollout.Modules{Dir: dir}, live: map[string]*candidate{}}
	var err error
	if rs.entries, err = rollout.Load(rs.file); err != nil {
		return nil, err
	}
	for i := range rs.entries {
		e := &rs.entries[i]
		if e.State != rollout.Running && e.State != rollout.Promoted {
			continue
		}
		wasm, err := rs.modules.Get(e.Digest)
		if err == nil {
			err = rs.revive(ctx, engine, e, wasm)
		}
		if err != nil {
			rs.close()
			return nil, fmt.Errorf("rollout of plugin %q, %s: %w; without its entry in %s the plugin's own source serves", e.Plugin, e.State, err, rs.file)
		}
	}
	return rs, nil
}

// revive compiles the module of an entry.
func (rs *rollouts) revive(ctx context.Context, engine *guest.Engine, e *rollout.Entry, wasm []byte) error {
	if rs.live[e.Digest] != nil {
		return nil
	}
	module, err := engine.Compile(ctx, e.Plugin, wasm)
	if err != nil {
		return err
	}
	c := &candidate{module: module, share: e.Share, serial: rand.Uint64()}
	c.percent.Store(hundredths(e.Share))
	rs.mu.Lock()
	rs.live[e.Digest] = c
	rs.mu.Unlock()
	return nil
}

// close gives the modules back.
func (rs *rollouts) close() {
	for _, c := range rs.live {
		c.module.Release()
	}
	clear(rs.live)
}

// promoted is the module that stands in for a plugin whose source gives base; nil is none.
func (rs *rollouts) promoted(plugin string, base [32]byte) *guest.Module {
	if c := rs.find(plugin, base, rollout.Promoted); c != nil {
		return c.module
	}
	return nil
}

// running is the version that serves a part of the plugin's requests; nil is none.
func (rs *rollouts) running(plugin string, base [32]byte) *candidate {
	return rs.find(plugin, base, rollout.Running)
}

// serving are the entries whose versions may serve.
func (rs *rollouts) serving() []rollout.Entry {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(rs.entries), func(e rollout.Entry) bool {
		return e.State != rollout.Running && e.State != rollout.Promoted
	})
}

func (rs *rollouts) find(plugin string, base [32]byte, state rollout.State) *candidate {
	if rs == nil {
		return nil
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for i := range rs.entries {
		if e := &rs.entries[i]; e.Plugin == plugin && e.State == state && e.Base == digestText(base) {
			return rs.live[e.Digest]
		}
	}
	return nil
}

func digestText(d [32]byte) string { return "sha256:" + hex.EncodeToString(d[:]) }

// entry is the place of a plugin's entry in a state; -1 is none.
func (rs *rollouts) entry(plugin string, state rollout.State) int {
	return slices.IndexFunc(rs.entries, func(e rollout.Entry) bool { return e.Plugin == plugin && e.State == state })
}

// change makes entries the ones there are: on disk first, so that what serves after a crash is what
// was said. undo puts the old ones back.
func (rs *rollouts) change(entries []rollout.Entry) (undo func() error, err error) {
	rs.mu.Lock()
	old := rs.entries
	rs.mu.Unlock()
	set := func(to []rollout.Entry) error {
		if err := rollout.Save(rs.file, to); err != nil {
			return err
		}
		rs.mu.Lock()
		rs.entries = to
		rs.mu.Unlock()
		return nil
	}
	return func() error { return set(old) }, set(entries)
}

// forget releases the modules that no entry needs, and what is kept of them on disk.
func (rs *rollouts) forget() error {
	rs.mu.Lock()
	var gone []*candidate
	var digests []string
	for digest, c := range rs.live {
		if !slices.ContainsFunc(rs.entries, func(e rollout.Entry) bool {
			return e.Digest == digest && (e.State == rollout.Running || e.State == rollout.Promoted)
		}) {
			gone, digests = append(gone, c), append(digests, digest)
			delete(rs.live, digest)
		}
	}
	rs.mu.Unlock()
	var faults []error
	for i, c := range gone {
		c.module.Release()
		faults = append(faults, rs.modules.Delete(digests[i]))
	}
	return errors.Join(faults...)
}

// replaced is entries with e in the place of the plugin's entries in the given states.
func replaced(entries []rollout.Entry, e rollout.Entry, states ...rollout.State) []rollout.Entry {
	list := slices.DeleteFunc(slices.Clone(entries), func(other rollout.Entry) bool {
		return other.Plugin == e.Plugin && slices.Contains(states, other.State)
	})
	return append(list, e)
}

// ended are the states of entries that only tell what happened.
var ended = []rollout.State{rollout.RolledBack, rollout.Returned}

// errNoRollout says that there is nothing to act on.
func errNoRollout(plugin string) error {
	return fmt.Errorf("plugin %q has no rollout that runs", plugin)
}
