package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/rollout"
	"github.com/wasmgate/wasmgate/host/internal/signature"
)

// Rollout is what [Host.Rollout] wants.
type Rollout struct {
	Plugin string `json:"plugin"`
	// Module is the new version; empty changes the share of the rollout that runs.
	Module []byte `json:"module,omitempty"`
	// Signatures are the texts of its signatures, of which one must do where the rules want one.
	Signatures [][]byte `json:"signatures,omitempty"`
	rollout.Share
	rollout.Bounds
}

// Rollout serves a part of a plugin's requests by a new version of it, or changes which.
// Requests in flight finish on the version that they began with. When the version is
// refused, nothing has changed.
func (h *Host) Rollout(ctx context.Context, r *Rollout) error {
	if err := errors.Join(r.Share.Check(), r.Bounds.Check()); err != nil {
		return fmt.Errorf("roll out plugin %q: %w", r.Plugin, err)
	}
	h.reloading.Lock()
	defer h.reloading.Unlock()
	if !h.isServing() {
		return errNotServing
	}
	var err error
	if r.Module == nil {
		err = h.reshare(ctx, r)
	} else {
		err = h.rollOut(ctx, r)
	}
	if err != nil {
		return shown(h.options.Config, fmt.Errorf("roll out plugin %q: %w", r.Plugin, err))
	}
	h.log.Info("rollout", "plugin", r.Plugin, "serves", r.Share.String())
	return nil
}

func (h *Host) rollOut(ctx context.Context, r *Rollout) error {
	rs := h.core.rollouts
	if rs.entry(r.Plugin, rollout.Running) >= 0 {
		return errors.New("a rollout of it runs: promote it or roll it back first")
	}
	base, err := h.snapshot.baseOf(r.Plugin)
	switch {
	case err != nil:
		return err
	case h.core.modules.isBuiltin(r.Plugin):
		return errors.New("it is built in: a new version of it comes under an id of its own")
	}
	if err := h.snapshot.has(r.Plugin, r.Share.Stage); err != nil {
		return err
	}
	// It is handed over as a file in plugins.dir is, and judged like one.
	if _, err := h.snapshot.plugins.check(moduleKey{id: r.Plugin}, signature.Dir, r.Module, r.Signatures); err != nil {
		return err
	}
	e := rollout.Entry{Plugin: r.Plugin, Base: base, Signatures: r.Signatures, Share: r.Share, Bounds: r.Bounds.Filled(), State: rollout.Running, Started: time.Now().UTC()}
	if e.Digest, err = rs.modules.Put(r.Module); err != nil {
		return err
	}
	switch at := rs.entry(r.Plugin, rollout.Promoted); {
	case e.Digest == base, at >= 0 && rs.entries[at].Digest == e.Digest:
		return errors.Join(fmt.Errorf("got the module %s, want another than the one that serves", e.Digest), rs.discard(e.Digest))
	}
	if err := rs.revive(ctx, h.core.engine, &e, r.Module); err != nil {
		return errors.Join(err, rs.forget(), rs.discard(e.Digest))
	}
	module := rs.live[e.Digest].module
	if m := module.Manifest(); m != nil {
		e.Version = m.Version
	}
	if err := h.snapshot.fits(r.Plugin, module); err != nil {
		return errors.Join(err, rs.forget())
	}
	return h.roll(ctx, "started", e, replaced(rs.entries, e, ended...))
}

// discard deletes a module that did not become a candidate.
func (rs *rollouts) discard(digest string) error {
	if rs.live[digest] != nil {
		return nil
	}
	return rs.modules.Delete(digest)
}

// roll records a step of e, changes the entries and serves by them; an error has changed
// nothing.
func (h *Host) roll(ctx context.Context, step string, e rollout.Entry, entries []rollout.Entry) (err error) {
	if err := h.recordRollout(step, e, nil); err != nil {
		return errors.Join(err, h.core.rollouts.forget())
	}
	defer func() {
		if err != nil {
			_ = h.recordRollout(step, e, err) // logged; the step is undone in any case
		}
	}()
	undo, err := h.core.rollouts.change(entries)
	if err != nil {
		return errors.Join(err, h.core.rollouts.forget())
	}
	if err := h.rebuildFor(ctx); err != nil {
		return errors.Join(err, undo(), h.core.rollouts.forget())
	}
	return h.core.rollouts.forget()
}

// reshare changes which requests the version that runs serves: at once when only the
// percentage is another.
func (h *Host) reshare(ctx context.Context, r *Rollout) error {
	rs := h.core.rollouts
	at := rs.entry(r.Plugin, rollout.Running)
	if at < 0 {
		return fmt.Errorf("%w: a new one wants a module", errNoRollout(r.Plugin))
	}
	e := rs.entries[at]
	c := rs.live[e.Digest]
	inPlace := e.Share.Percent != 0 && r.Share.Percent != 0
	e.Share = r.Share
	if b := r.Bounds; b != (rollout.Bounds{}) {
		e.Bounds = b.Filled()
	}
	entries := replaced(rs.entries, e, rollout.Running)
	if inPlace {
		if err := h.recordRollout("reshared", e, nil); err != nil {
			return err
		}
		if _, err := rs.change(entries); err != nil {
			return err
		}
		c.percent.Store(hundredths(r.Share))
		return nil
	}
	if err := h.snapshot.has(r.Plugin, r.Share.Stage); err != nil {
		return err
	}
	old := c.share
	c.share, c.serial = r.Share, rand.Uint64()
	c.percent.Store(hundredths(r.Share))
	if err := h.roll(ctx, "reshared", e, entries); err != nil {
		c.share = old
		c.percent.Store(hundredths(old))
		return err
	}
	return nil
}

// Promote lets the version that is rolled out serve every request of the plugin, until the
// plugin's own source gives another version.
func (h *Host) Promote(ctx context.Context, plugin string) error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	if !h.isServing() {
		return errNotServing
	}
	rs := h.core.rollouts
	at := rs.entry(plugin, rollout.Running)
	if at < 0 {
		return fmt.Errorf("promote: %w", errNoRollout(plugin))
	}
	e := rs.entries[at]
	e.State, e.Ended = rollout.Promoted, now()
	if err := h.roll(ctx, "promoted", e, replaced(rs.entries, e, rollout.Running, rollout.Promoted)); err != nil {
		return shown(h.options.Config, fmt.Errorf("promote plugin %q: %w", plugin, err))
	}
	h.log.Info("rollout is promoted", "plugin", plugin, "digest", e.Digest)
	return nil
}

// Rollback takes the version that is rolled out back, or, when none is, the promoted one. It
// takes effect with the next request, also when the files of the configuration are broken
// meanwhile.
func (h *Host) Rollback(ctx context.Context, plugin, reason string) error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	return h.takeBack(ctx, plugin, rollout.RolledBack, reason)
}

func (h *Host) takeBack(ctx context.Context, plugin string, state rollout.State, reason string) error {
	if !h.isServing() {
		return errNotServing
	}
	rs := h.core.rollouts
	at := rs.entry(plugin, rollout.Running)
	if at < 0 && state == rollout.RolledBack {
		at = rs.entry(plugin, rollout.Promoted)
	}
	if at < 0 {
		return fmt.Errorf("roll back: %w, nor a promoted version", errNoRollout(plugin))
	}
	e := rs.entries[at]
	was, c := e.State, rs.live[e.Digest]
	e.State, e.Reason, e.Ended = state, reason, now()
	entries := replaced(rs.entries, e, append(ended, was)...)
	if was == rollout.Promoted {
		if err := h.roll(ctx, string(state), e, entries); err != nil {
			return shown(h.options.Config, fmt.Errorf("roll back plugin %q: %w", plugin, err))
		}
	} else {
		c.percent.Store(0)                         // from here on no request goes there, whatever comes
		_ = h.recordRollout(string(state), e, nil) // it is logged; back is the safe way
		if _, err := rs.change(entries); err != nil {
			return shown(h.options.Config, fmt.Errorf("roll back plugin %q: it serves no request, but that is not kept for the next start: %w", plugin, err))
		}
		if err := h.rebuildFor(ctx); err != nil {
			h.log.Warn("a version that was taken back is kept in memory until the next reload", "plugin", plugin, "error", shown(h.options.Config, err))
		}
		if err := rs.forget(); err != nil {
			h.log.Warn("module of a rollout is not deleted", "plugin", plugin, "error", err)
		}
	}
	h.log.Warn("rollout is taken back", "plugin", plugin, "digest", e.Digest, "state", string(state), "reason", reason)
	return nil
}

func now() *time.Time {
	t := time.Now().UTC()
	return &t
}

// rebuildFor makes the snapshot anew after rollouts changed.
func (h *Host) rebuildFor(ctx context.Context) error {
	_, err := h.rebuild(ctx)
	return err
}

// baseOf is the digest that a plugin's source gives, for a rollout of it.
func (s *snapshot) baseOf(plugin string) (string, error) {
	if slices.ContainsFunc(s.policies, func(p *boundPolicy) bool { return p.Name == plugin && p.background }) {
		return "", errors.New("it runs beside requests, want one that requests go through")
	}
	bases := s.bases[plugin]
	switch len(bases) {
	case 0:
		return "", errors.New("no policy that serves has this plugin")
	case 1:
		return digestText(bases[0]), nil
	}
	return "", fmt.Errorf("its policies have %d versions of it, want one", len(bases))
}

// has says when no route of a stage has the plugin; the empty stage is any.
func (s *snapshot) has(plugin, stage string) error {
	for _, a := range s.apis {
		if (stage == "" || a.api.Stage == stage) && slices.ContainsFunc(a.bound, func(p *boundPolicy) bool { return p.Name == plugin }) {
			return nil
		}
	}
	return fmt.Errorf("stage: got %q, want the stage of an API whose routes have the plugin", stage)
}

// fits says why a module cannot take the plugin's place.
func (s *snapshot) fits(plugin string, module *guest.Module) error {
	if m := module.Manifest(); m != nil && m.ID != plugin {
		return fmt.Errorf("got a module whose manifest says id %q", m.ID)
	}
	for _, p := range s.policies {
		if p.Name == plugin && (p.Filter != nil) != (module.ABI() != "") {
			return errors.New("got a module of another ABI than the one that serves")
		}
	}
	return nil
}

// outdated ends the entries of plugins whose sources give another version by now: who
// replaces a plugin's file has decided.
func (h *Host) outdated(s *snapshot) {
	rs := h.core.rollouts
	entries := slices.Clone(rs.entries)
	changed := false
	for i := range entries {
		e := &entries[i]
		if e.State != rollout.Running && e.State != rollout.Promoted {
			continue
		}
		if bases := s.bases[e.Plugin]; len(bases) > 0 && !slices.ContainsFunc(bases, func(d [32]byte) bool { return digestText(d) == e.Base }) {
			e.State, e.Ended, e.Reason, changed = rollout.Returned, now(), "the plugin's source gives "+digestText(bases[0])+" now", true
			_ = h.recordRollout(string(e.State), *e, nil) // it is logged; the source decides
			h.log.Warn("rollout ended", "plugin", e.Plugin, "digest", e.Digest, "reason", e.Reason)
		}
	}
	if !changed {
		return
	}
	_, err := rs.change(entries)
	if err := errors.Join(err, rs.forget()); err != nil {
		h.log.Error("end of a rollout is not kept", "error", err)
	}
}

// guardRollouts takes versions back that leave their bounds, until ctx ends.
func (h *Host) guardRollouts(ctx context.Context) {
	tick := time.NewTicker(judgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.judgeRollouts(ctx)
		}
	}
}

// judgeEvery is how long a version that must be taken back goes on serving at most.
const judgeEvery = 100 * time.Millisecond

func (h *Host) judgeRollouts(ctx context.Context) {
	rs := h.core.rollouts
	rs.mu.Lock()
	reasons := map[string]string{}
	for i := range rs.entries {
		e := &rs.entries[i]
		c := rs.live[e.Digest]
		if e.State != rollout.Running || c == nil || c.percent.Load() == 0 {
			continue
		}
		if why := e.Bounds.Judge(rollout.Counts(c.old.Counts()), rollout.Counts(c.now.Counts())); why != "" {
			c.percent.Store(0) // at once; the reload lock may be taken
			reasons[e.Plugin] = why
		}
	}
	rs.mu.Unlock()
	for plugin, why := range reasons {
		h.observer.RolloutReturned(plugin)
		h.reloading.Lock()
		err := h.takeBack(ctx, plugin, rollout.Returned, why)
		h.reloading.Unlock()
		if err != nil {
			h.log.Error("rollout is taken back, but not for good", "plugin", plugin, "error", err)
		}
	}
}
