package project

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

const (
	projectFile  = "wasmgate-plugin.json"
	manifestFile = "manifest.json"
)

// Project is a folder that [Open] read.
type Project struct {
	// Dir is the folder.
	Dir string
	// Manifest is the plugin's manifest.
	Manifest *abi.Manifest

	manifest []byte // as written
	compile  func(context.Context, *Project) ([]byte, error)
}

// recipe is the project file.
type recipe struct {
	Language string   `json:"language"`
	Command  []string `json:"command"`
	Module   string   `json:"module"`
}

// Open reads the project file and the manifest of a folder.
func Open(dir string) (*Project, error) {
	p := &Project{Dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, projectFile))
	if err != nil {
		return nil, fmt.Errorf("open plugin project: %w", err)
	}
	if p.compile, err = parseRecipe(text); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, projectFile), err)
	}
	if p.manifest, err = os.ReadFile(filepath.Join(dir, manifestFile)); err != nil {
		return nil, fmt.Errorf("open plugin project: %w", err)
	}
	if p.Manifest, err = abi.ParseManifest(p.manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, manifestFile), err)
	}
	return p, nil
}

func parseRecipe(text []byte) (func(context.Context, *Project) ([]byte, error), error) {
	var r recipe
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("text after the object")
	}
	switch {
	case r.Language != "" && len(r.Command) == 0 && r.Module == "":
		l, ok := languageByName(r.Language)
		if !ok {
			return nil, fmt.Errorf("language: got %q, want one of %s", r.Language, strings.Join(Languages(), ", "))
		}
		return l.compile, nil
	case r.Language == "" && len(r.Command) > 0 && r.Module != "":
		return func(ctx context.Context, p *Project) ([]byte, error) {
			if err := p.run(ctx, nil, r.Command...); err != nil {
				return nil, err
			}
			return os.ReadFile(filepath.Join(p.Dir, r.Module))
		}, nil
	}
	return nil, errors.New("want either language, or command and module")
}

// File is where [Project.Build]'s module belongs: ID.wasm in the folder.
func (p *Project) File() string { return filepath.Join(p.Dir, p.Manifest.ID+".wasm") }

// Newer is a source file that was written after the module; empty when there is none, and
// when there is no module. Modules, their signatures, documents, cases and what toolchains
// keep are no source.
func (p *Project) Newer() (file string) {
	module, err := os.Stat(p.File())
	if err != nil {
		return ""
	}
	_ = filepath.WalkDir(p.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read is not newer
		}
		name := d.Name()
		if d.IsDir() {
			if path != p.Dir && (name == "build" || name == "testdata" || name == "target" || name == "node_modules" || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err == nil && !strings.Contains(name, ".wasm") && !strings.HasSuffix(name, ".md") && !strings.HasPrefix(name, ".") && info.ModTime().After(module.ModTime()) {
			file = path
			return fs.SkipAll
		}
		return nil
	})
	return file
}

// Build compiles the source and packs the manifest in. The module is what its manifest says;
// whether the gateway takes it is for its engine to tell. The error of a toolchain has all
// that it wrote.
func (p *Project) Build(ctx context.Context) (wasm []byte, err error) {
	wasm, err = p.compile(ctx, p)
	if err == nil {
		wasm, err = abi.Pack(wasm, p.manifest)
	}
	if err != nil {
		return nil, fmt.Errorf("build plugin %q: %w", p.Manifest.ID, err)
	}
	return wasm, nil
}

// Write puts a module into [Project.File], whole or not at all: a gateway may be watching.
func (p *Project) Write(wasm []byte) error {
	temp, err := os.CreateTemp(p.Dir, ".building-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(wasm)
	if err := errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), p.File())
}

// run runs a command of a toolchain in the folder, with more variables of the environment.
func (p *Project) run(ctx context.Context, environ []string, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = p.Dir
	cmd.Env = append(os.Environ(), environ...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, bytes.TrimRight(output, "\n"))
	}
	return nil
}
