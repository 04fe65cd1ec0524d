package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

func main() {
	out := flag.String("o", "../bin/plugins", "directory that gets ID.wasm of each plugin")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// jobs is how many plugins are compiled at once: the compiler is parallel itself.
const jobs = 2

// builder is what the plugins' builds have in common.
type builder struct {
	out    string // absolute
	stamps string // where the digests of the last build are
	tmp    string
	common []byte // digest of what all plugins are made from
	pack   func() (path string, err error)
}

func run(ctx context.Context, out string) error {
	manifests, err := filepath.Glob("*/manifest.json")
	if err != nil {
		return err
	}
	if len(manifests) == 0 {
		return errors.New("build plugins: no */manifest.json here: run it in plugins/")
	}
	b := &builder{stamps: filepath.Join("..", ".cache", "plugins")}
	if b.out, err = filepath.Abs(out); err != nil {
		return err
	}
	if b.tmp, err = os.MkdirTemp("", "wasmgate-plugins"); err != nil {
		return err
	}
	defer os.RemoveAll(b.tmp)
	for _, dir := range []string{b.out, b.stamps} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if b.common, err = digest([]byte(runtime.Version()), "go.mod", "cmd/build", "internal", "../sdk/go", "../abi/v1"); err != nil {
		return err
	}
	b.pack = sync.OnceValues(func() (string, error) {
		path := filepath.Join(b.tmp, "pack")
		return path, command(ctx, "go", "build", "-C", "..", "-o", path, "./abi/v1/cmd/pack")
	})
	return b.all(ctx, manifests)
}

// all builds the plugins, jobs at a time, and waits for them; its errors are those of all.
func (b *builder) all(ctx context.Context, manifests []string) error {
	errs := make([]error, len(manifests))
	var wait sync.WaitGroup
	slots := make(chan struct{}, jobs)
	for i, manifest := range manifests {
		slots <- struct{}{}
		wait.Go(func() { // all owns it and waits below
			errs[i] = b.plugin(ctx, filepath.Dir(manifest))
			<-slots
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// plugin builds one plugin unless what stands in out was made from the same sources.
func (b *builder) plugin(ctx context.Context, id string) error {
	target, stamp := filepath.Join(b.out, id+".wasm"), filepath.Join(b.stamps, id)
	sources, err := digest(b.common, id)
	if err != nil {
		return err
	}
	if built, err := os.ReadFile(target); err == nil {
		known, err := os.ReadFile(stamp)
		if err == nil && bytes.Equal(known, stampOf(sources, built)) {
			return nil
		}
	}
	pack, err := b.pack()
	if err != nil {
		return err
	}
	compiled, packed := filepath.Join(b.tmp, id+".go.wasm"), filepath.Join(b.tmp, id+".wasm")
	if err := command(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w",
		"-o", compiled, "./"+id); err != nil {
		return err
	}
	if err := command(ctx, pack, "-manifest", filepath.Join(id, "manifest.json"), "-schema", filepath.Join(id, "schema.json"),
		"-o", packed, compiled); err != nil {
		return err
	}
	built, err := os.ReadFile(packed)
	if err != nil {
		return err
	}
	if err := replace(target, built); err != nil {
		return err
	}
	fmt.Printf("%-12s %d bytes\n", id, len(built))
	return os.WriteFile(stamp, stampOf(sources, built), 0o644)
}

// stampOf is the digests of what a plugin was made from and of what was made.
func stampOf(sources, built []byte) []byte {
	return fmt.Appendf(nil, "%x %x\n", sources, sha256.Sum256(built))
}

// replace writes a file whole or not at all: a gateway may be watching the directory.
func replace(target string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(target), ".building-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}

// command runs a Go command for the guest's platform, or another program, and gives its
// output in the error. The user's own GOFLAGS and the like would change the bytes.
func command(ctx context.Context, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "GOFLAGS=", "GOWASM=", "GOEXPERIMENT=", "CGO_ENABLED=0", "GOWORK=off")
	if name == "go" && args[1] != "-C" {
		c.Env = append(c.Env, "GOOS=wasip1", "GOARCH=wasm")
	}
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, output)
	}
	return nil
}

// digest is over seed and the names and contents of the sources at paths, in order.
func digest(seed []byte, paths ...string) ([]byte, error) {
	h := sha256.New()
	h.Write(seed)
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return fmt.Errorf("read sources: %w", err)
			}
			name := e.Name()
			switch {
			case e.IsDir() && name == "testdata":
				return fs.SkipDir
			case e.IsDir(), strings.HasSuffix(name, "_test.go"):
				return nil
			case strings.HasSuffix(name, ".go"), strings.HasSuffix(name, ".json"), name == "go.mod":
				content, err := os.ReadFile(path)
				if err != nil {
					return fmt.Errorf("read sources: %w", err)
				}
				fmt.Fprintf(h, "%s %d\n", filepath.ToSlash(path), len(content))
				h.Write(content)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return h.Sum(nil), nil
}
