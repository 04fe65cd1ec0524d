package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// reloads swaps a plugin again and again, each time a new digest, under load.
func reloads(ctx context.Context, b *bench) (result, error) {
	return churn(ctx, b, "reload", func(ctx context.Context, r *running, generation int) error {
		file := filepath.Join(r.place.Dir, "plugins", extra+".wasm")
		if err := writeFile(file, tinyGuest(generation)); err != nil {
			return err
		}
		return r.reload(ctx)
	})
}

// rollouts rolls a new version out to half of the requests and back again and again, each
// time a new digest, under load.
func rollouts(ctx context.Context, b *bench) (result, error) {
	type command struct {
		Plugin  string  `json:"plugin"`
		Module  []byte  `json:"module,omitempty"`
		Percent float64 `json:"percent,omitempty"`
	}
	return churn(ctx, b, "rollout and rollback", func(ctx context.Context, r *running, generation int) error {
		if err := r.admin(ctx, "rollouts/start", command{extra, tinyGuest(generation), 50}); err != nil {
			return err
		}
		return r.admin(ctx, "rollouts/rollback", command{Plugin: extra})
	})
}

// extra is the plugin that changes.
const extra = "reloaded"

// churn makes as many changes as b.reloads says, each by step, and tells what they cost.
func churn(ctx context.Context, b *bench, what string, step func(ctx context.Context, r *running, generation int) error) (result, error) {
	p := wasmgate()
	plain := p.prepare
	p.prepare = func(ctx context.Context, b *bench, at *place) error {
		at.Extra = extra
		dir := filepath.Join(at.Dir, "plugins")
		return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, extra+".wasm"), tinyGuest(0), 0o600), plain(ctx, b, at))
	}
	r, err := b.startPeer(ctx, p)
	if err != nil {
		return result{}, err
	}
	defer r.stop()
	generation := 0
	again := func(times int) func(context.Context) error {
		return func(ctx context.Context) error {
			for range times {
				generation++
				if err := errors.Join(step(ctx, r, generation), ctx.Err()); err != nil {
					return fmt.Errorf("%s %d: %w", what, generation, err)
				}
			}
			return nil
		}
	}
	// The first hundred warm what stays: pools, caches, the heap.
	if _, err := b.underLoad(ctx, r, "/reloaded/256", again(min(100, b.reloads))); err != nil {
		return result{}, err
	}
	before, err := b.restingMemory(ctx, r)
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	l, err := b.underLoad(ctx, r, "/reloaded/256", again(b.reloads))
	if err != nil {
		return result{}, err
	}
	took := time.Since(began)
	after, err := b.restingMemory(ctx, r)
	if err != nil {
		return result{}, err
	}
	return result{Lines: []line{
		{Subject: "memory grown", Unit: "MB", Value: one(megabytes(after - before)), Note: fmt.Sprintf("%.1f MB before, %d times", megabytes(before), b.reloads)},
		{Subject: "failed requests", Unit: fmt.Sprintf("of %d", l.Requests), Value: one(float64(l.Errors))},
		{Subject: "one " + what, Unit: "ms", Value: one(took.Seconds() * 1000 / float64(b.reloads)), Note: "mean, under load"},
	}}, nil
}
