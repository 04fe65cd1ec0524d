package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/source"
	"github.com/wasmgate/wasmgate/host/internal/workbench"
)

// ReplayOptions are for [Replay].
type ReplayOptions struct {
	// Config says where modules are looked for: plugins.dir and data_dir.
	Config *Config
	// Builtins holds the built-in plugins as ID.wasm; nil is none.
	Builtins fs.FS
	// Paths are recordings, and folders of recordings at any depth.
	Paths []string
	// Module is the file of the module to run; empty looks for the recorded one by its digest.
	Module string
	// Another lets Module be another than the recorded one: what it decides is compared, and
	// what it costs is told.
	Another bool
}

// The outcomes of a recording that was run again.
const (
	ReplaySame    = "same"    // it decided the same
	ReplayChanged = "changed" // it decided otherwise, or answered where it had trapped
	ReplayTrapped = "trapped" // it failed where it had answered, or failed otherwise
	ReplayRefused = "refused" // it does not take the recorded config
)

// Replayed is a recording that was run again.
type Replayed struct {
	// File is the recording, Name its case's.
	File string `json:"file"`
	Name string `json:"name"`
	Hook string `json:"hook"`
	// Plugin and SHA256 are what was recorded, Ran is the digest of what ran.
	Plugin string `json:"plugin"`
	SHA256 string `json:"sha256"`
	Ran    string `json:"ran"`
	// Outcome is one of ReplaySame and the others.
	Outcome string `json:"outcome"`
	// Fuel is what the call took, and what it took when it was recorded.
	Fuel ReplayFuel `json:"fuel"`
	// Differences are all there are, of decision, fuel, log and host calls.
	Differences []ReplayDifference `json:"differences,omitempty"`
	// Unseen are the fields that another version asks for and the recorded one did not: it
	// decided without them.
	Unseen []string `json:"unseen,omitempty"`
	// Trap is how the call failed; empty when it did not. Stack is the guest's functions.
	Trap  string   `json:"trap,omitempty"`
	Stack []string `json:"stack,omitempty"`
}

// ReplayFuel is the fuel of a call.
type ReplayFuel struct {
	Got  uint64 `json:"got"`
	Want uint64 `json:"want"`
}

// ReplayDifference is one thing that was not as recorded.
type ReplayDifference struct {
	Field string `json:"field"`
	Got   string `json:"got"`
	Want  string `json:"want"`
}

// Replay runs recordings again, each in a new instance, with what was recorded in the place
// of clock, randomness and the world. The same module gives the same result and the same
// fuel: that anything differs is told with its outcome, not by an error, which says that a
// recording or its module cannot be had.
func Replay(ctx context.Context, o ReplayOptions) (all []Replayed, err error) {
	files, err := recordingFiles(o.Paths)
	if err != nil {
		return nil, err
	}
	bench, err := workbench.New(ctx, workbench.Options{})
	if err != nil {
		return nil, err
	}
	r := replayer{ReplayOptions: o, bench: bench, plugins: map[string]*workbench.Plugin{}}
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	for _, file := range files {
		cases, err := casefile.Load(file)
		if err != nil {
			return nil, err
		}
		for _, c := range cases {
			one, err := r.replay(ctx, file, c)
			if err != nil {
				return nil, fmt.Errorf("replay %s: %w", file, err)
			}
			all = append(all, one)
		}
	}
	return all, nil
}

// recordingFiles are the files below paths, in order; none is an error.
func recordingFiles(paths []string) (files []string, err error) {
	for _, path := range paths {
		before := len(files)
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (name == path || filepath.Ext(name) == ".json") {
				files = append(files, name)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
		if len(files) == before {
			return nil, fmt.Errorf("replay %s: no *.json in it, want recordings", path)
		}
	}
	return files, nil
}

type replayer struct {
	ReplayOptions
	bench   *workbench.Bench
	plugins map[string]*workbench.Plugin // by digest; "" is Module
}

func (r *replayer) close(ctx context.Context) error {
	for _, p := range r.plugins {
		p.Close()
	}
	return r.bench.Close(ctx)
}

func (r *replayer) replay(ctx context.Context, file string, c *casefile.Case) (one Replayed, err error) {
	if c.Module == nil {
		return one, fmt.Errorf("case %q has no module, want a recording: wasmgate plugin test runs other cases", c.Name)
	}
	plugin, err := r.plugin(ctx, c.Module)
	if err != nil {
		return one, err
	}
	if got := plugin.SHA256(); got != c.Module.SHA256 && !r.Another {
		return one, fmt.Errorf("module %s is sha256 %s, want %s, which was recorded; --another runs another version", r.Module, got, c.Module.SHA256)
	}
	o := plugin.Run(ctx, c)
	one = Replayed{File: file, Name: c.Name, Hook: c.Hook.String(), Plugin: c.Module.ID, SHA256: c.Module.SHA256, Ran: o.SHA256,
		Fuel: ReplayFuel{Got: o.Fuel, Want: c.Fuel}}
	return one, one.judge(c, o)
}

// judge says what came of a run.
func (one *Replayed) judge(c *casefile.Case, o workbench.Outcome) error {
	differ := func(field, got, want string) {
		one.Differences = append(one.Differences, ReplayDifference{field, got, want})
	}
	one.Outcome = ReplaySame
	if one.Ran != one.SHA256 {
		one.Unseen = o.Unseen
	}
	failure := o.Err
	if o.Refused != nil {
		failure = o.Refused
	}
	if failure != nil {
		one.Trap, one.Stack = failure.Error(), guest.Stack(failure)
	}
	switch {
	case o.Refused != nil:
		one.Outcome = ReplayRefused
		differ("config", failure.Error(), "accepted")
	case failure != nil && c.Trap.Check(failure) != nil:
		one.Outcome = ReplayTrapped
		differ("trap", failure.Error(), wanted(c))
	case failure == nil && c.Trap != nil:
		one.Outcome = ReplayChanged
		differ("trap", "an answer", wanted(c))
	case failure == nil:
		differences, err := c.Differences(o.Result)
		if err != nil {
			return err
		}
		for _, d := range differences {
			differ(d.Field, d.Got, d.Want)
		}
		if c.CheckLog(o.Logged) != nil {
			differ("log", fmt.Sprintf("%q", o.Logged), fmt.Sprintf("%q", c.Log))
		}
	}
	// Of another module these say how it goes about its decision, not what that is.
	same := one.Ran == one.SHA256
	if len(one.Differences) > 0 && one.Outcome == ReplaySame {
		one.Outcome = ReplayChanged
	}
	if o.Calls != nil && o.Refused == nil {
		differ("host calls", strings.ReplaceAll(o.Calls.Error(), "\n", "; "), "as recorded")
	}
	if o.Fuel != c.Fuel && o.Refused == nil {
		differ("fuel", fmt.Sprint(o.Fuel), fmt.Sprint(c.Fuel))
	}
	if same && len(one.Differences) > 0 && one.Outcome == ReplaySame {
		one.Outcome = ReplayChanged
	}
	return nil
}

// wanted says how a call ended when it was recorded.
func wanted(c *casefile.Case) string {
	if c.Trap == nil {
		return "an answer"
	}
	return c.Trap.Kind + ": " + c.Trap.Text
}

// plugin is what runs a recording of a module.
func (r *replayer) plugin(ctx context.Context, m *casefile.Module) (*workbench.Plugin, error) {
	key := m.SHA256
	if r.Module != "" {
		key = ""
	}
	if p := r.plugins[key]; p != nil {
		return p, nil
	}
	wasm, err := r.find(m)
	if err != nil {
		return nil, err
	}
	p, err := r.bench.Open(ctx, m.ID, wasm)
	if err != nil {
		return nil, err
	}
	r.plugins[key] = p
	return p, nil
}

// find reads the module of a digest: a built-in one, one of plugins.dir, or one that came
// from elsewhere and is kept in data_dir.
func (r *replayer) find(m *casefile.Module) ([]byte, error) {
	if r.Module != "" {
		return os.ReadFile(r.Module)
	}
	if digest, err := hex.DecodeString(m.SHA256); err != nil || len(digest) != sha256.Size {
		return nil, fmt.Errorf("module: sha256 %q, want 64 hexadecimal digits", m.SHA256)
	}
	store := source.OpenStore(pluginStore(r.Config), r.Config.Plugins.ModuleBytes)
	if wasm, err := store.Get("sha256:" + m.SHA256); err == nil {
		return wasm, nil
	}
	folders := []fs.FS{os.DirFS(r.Config.Plugins.Dir)}
	if r.Config.Plugins.Dir == "" {
		folders = nil
	}
	if r.Builtins != nil {
		folders = append(folders, r.Builtins)
	}
	for _, folder := range folders {
		names, _ := fs.Glob(folder, "*.wasm") // the pattern is good
		for _, name := range names {
			wasm, err := fs.ReadFile(folder, name)
			if err != nil {
				continue // it is gone, or nobody's
			}
			if sum := sha256.Sum256(wasm); hex.EncodeToString(sum[:]) == m.SHA256 {
				return wasm, nil
			}
		}
	}
	return nil, fmt.Errorf("plugin %q, sha256 %s, is neither built in nor in plugins.dir or data_dir: --module names its file", m.ID, m.SHA256)
}
