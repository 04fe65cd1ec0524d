package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/wasmgate/wasmgate/host/internal/control"
	"github.com/wasmgate/wasmgate/host/internal/observe"
	"github.com/wasmgate/wasmgate/host/internal/rollout"
)

// commands are what the admin listener answers beside status and reload.
func (h *Host) commands() []control.Command {
	const short = 64 << 10
	module := h.options.Config.Plugins.ModuleBytes/3*4 + short // in base64
	return []control.Command{
		{Method: "GET", Path: "/admin/v1/rollouts", Run: func(context.Context, []byte) (any, error) { return h.Rollouts(), nil }},
		{Method: "POST", Path: "/admin/v1/rollouts/start", MaxBody: module, Run: command(h, h.Rollout)},
		{Method: "POST", Path: "/admin/v1/rollouts/promote", MaxBody: short, Run: command(h, func(ctx context.Context, r *onPlugin) error { return h.Promote(ctx, r.Plugin) })},
		{Method: "POST", Path: "/admin/v1/rollouts/rollback", MaxBody: short, Urgent: true, Run: command(h, func(ctx context.Context, r *onPlugin) error { return h.Rollback(ctx, r.Plugin, r.Reason) })},
	}
}

// onPlugin is a command about one plugin.
type onPlugin struct {
	Plugin string `json:"plugin"`
	Reason string `json:"reason,omitempty"`
}

// command reads a command's JSON, runs it, and answers with the rollouts as they are then.
func command[T any](h *Host, run func(context.Context, *T) error) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, body []byte) (any, error) {
		var arguments T
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&arguments); err != nil {
			return nil, fmt.Errorf("read command: %w", err)
		}
		if err := run(ctx, &arguments); err != nil {
			return nil, err
		}
		return h.Rollouts(), nil
	}
}

// RolloutStatus is one rollout with what both versions decided since it began, or since the
// gateway started; both are nil when it does not run.
type RolloutStatus struct {
	rollout.Entry
	Old *rollout.Counts `json:"old,omitempty"`
	New *rollout.Counts `json:"new,omitempty"`
}

// RolloutList is what [Host.Rollouts] gives.
type RolloutList struct {
	Rollouts []RolloutStatus `json:"rollouts"`
}

// Rollouts are the rollouts that run or are promoted, and for each plugin how its last one
// ended.
func (h *Host) Rollouts() RolloutList {
	rs := h.core.rollouts
	rs.mu.Lock()
	defer rs.mu.Unlock()
	list := RolloutList{Rollouts: make([]RolloutStatus, 0, len(rs.entries))}
	for _, e := range rs.entries {
		s := RolloutStatus{Entry: e}
		if c := rs.live[e.Digest]; c != nil && e.State == rollout.Running {
			before, now := rollout.Counts(c.old.Counts()), rollout.Counts(c.now.Counts())
			s.Old, s.New = &before, &now
		}
		list.Rollouts = append(list.Rollouts, s)
	}
	return list
}

func (h *Host) rolloutMetrics() (list []observe.Rollout) {
	if h.core == nil || h.core.rollouts == nil {
		return nil // a scrape before the first snapshot
	}
	for _, r := range h.Rollouts().Rollouts {
		if r.New == nil {
			continue
		}
		for version, c := range map[string]*rollout.Counts{"old": r.Old, "new": r.New} {
			list = append(list, observe.Rollout{Plugin: r.Plugin, Version: version, Decisions: c.Decisions, Denials: c.Denials, Failures: c.Failures})
		}
	}
	return list
}
