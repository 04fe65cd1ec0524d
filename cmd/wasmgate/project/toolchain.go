package project

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// missing is the error of a tool that is not there.
func missing(tool, install string) error {
	return fmt.Errorf("%s is missing: %s", tool, install)
}

// out makes the folder for what toolchains write and gives the path of a file in it.
func (p *Project) out(name string) (string, error) {
	dir, err := filepath.Abs(filepath.Join(p.Dir, "build"))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, name), os.MkdirAll(dir, 0o755)
}

// compileGo keeps the function names (no -s), by which traps tell where. The user's own
// settings for other builds would change the module.
func compileGo(ctx context.Context, p *Project) ([]byte, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, missing("go", "install Go 1.26 or newer, see https://go.dev/doc/install")
	}
	out, err := p.out("module.wasm")
	if err != nil {
		return nil, err
	}
	environ := []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWASM=", "GOEXPERIMENT=", "GOWORK=off"}
	if err := p.run(ctx, environ, "go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-w", "-o", out, "."); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

const rustTarget = "wasm32-unknown-unknown"

func compileRust(ctx context.Context, p *Project) ([]byte, error) {
	r, err := rustFrom(sysroot(ctx, "rustc"), sysroot(ctx, "/usr/bin/rustc"))
	if err != nil {
		return nil, err
	}
	target, err := p.out("cargo")
	if dir := os.Getenv("CARGO_TARGET_DIR"); dir != "" && err == nil {
		target, err = filepath.Abs(dir)
	}
	if err != nil {
		return nil, err
	}
	target += r.suffix
	// The linker writes the names of functions as the source has them, for traps.
	command := append(r.command, "--lib", "--", "-Clink-arg=--demangle")
	if err := p.run(ctx, append(r.environ, "CARGO_TARGET_DIR="+target), command...); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(target, rustTarget, "release", "plugin_"+strings.ReplaceAll(p.Manifest.ID, "-", "_")+".wasm"))
}

// rust is how a Rust toolchain is called; suffix keeps apart what two compilers made.
type rust struct {
	command, environ []string
	suffix           string
}

// rustFrom takes the installed toolchain when it has the target, by the folders of both.
// Debian's has not, and builds std from rust-web-src, with the few crates that std needs
// from the registry.
func rustFrom(installed, debian string) (rust, error) {
	build := []string{"rustc", "-q", "--release", "--target", rustTarget}
	switch {
	case hasDir(installed, rustTarget, "lib"):
		return rust{command: append([]string{"cargo"}, append(build, "--offline")...)}, nil
	case hasDir(debian, "src", "rust", "library"):
		return rust{command: append([]string{"/usr/bin/cargo"}, append(build, "-Zbuild-std=std,panic_abort")...), suffix: "-debian",
			environ: []string{"RUSTC_BOOTSTRAP=1", "RUSTC=/usr/bin/rustc", "RUSTFLAGS=-Clinker=wasm-ld"}}, nil
	}
	return rust{}, missing("Rust for "+rustTarget, "`rustup target add "+rustTarget+"`, or on Debian `apt-get install rustc-web cargo-web rust-web-src lld`")
}

// sysroot is where a Rust compiler keeps its libraries; empty when there is no such compiler.
func sysroot(ctx context.Context, rustc string) string {
	out, err := exec.CommandContext(ctx, rustc, "--print", "sysroot").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func hasDir(root string, path ...string) bool {
	if root == "" {
		return false
	}
	info, err := os.Stat(filepath.Join(append([]string{root, "lib", "rustlib"}, path...)...))
	return err == nil && info.IsDir()
}

func compileC(ctx context.Context, p *Project) ([]byte, error) {
	for _, tool := range []string{"clang", "wasm-ld"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, missing(tool, "on Debian `apt-get install clang lld`, on macOS `brew install llvm lld`")
		}
	}
	out, err := p.out("module.wasm")
	if err != nil {
		return nil, err
	}
	if err := p.run(ctx, nil, "clang", "--target=wasm32", "-std=c11", "-O2", "-ffreestanding", "-fno-builtin", "-nostdlib", "-mbulk-memory",
		"-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-Isdk",
		"-Wl,--no-entry", "-Wl,--strip-debug", "-Wl,-z,stack-size=65536", "-o", out, "main.c"); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// compileAssemblyScript takes the compiler of the version that the SDK names, as npm ci puts
// it there, else the one in PATH. --debug keeps the function names.
func compileAssemblyScript(ctx context.Context, p *Project) ([]byte, error) {
	asc, err := filepath.Abs(filepath.Join(p.Dir, "sdk", "node_modules", ".bin", "asc"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(asc); err != nil {
		if asc, err = exec.LookPath("asc"); err != nil {
			return nil, missing("asc", "run `npm ci` in "+filepath.Join(p.Dir, "sdk")+", which takes Node.js 20 or newer")
		}
	}
	out, err := p.out("module.wasm")
	if err != nil {
		return nil, err
	}
	if err := p.run(ctx, nil, asc, "assembly/index.ts", "--runtime", "minimal", "--use", "abort=",
		"--optimizeLevel", "3", "--shrinkLevel", "0", "--debug", "--outFile", out); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// compileZig takes zig from PATH, else that of the Python package ziglang.
func compileZig(ctx context.Context, p *Project) ([]byte, error) {
	zig := []string{"zig"}
	if _, err := exec.LookPath("zig"); err != nil {
		if exec.CommandContext(ctx, "python3", "-c", "import ziglang").Run() != nil {
			return nil, missing("zig", "install Zig 0.17, or `python3 -m pip install -r "+filepath.Join(p.Dir, "sdk", "requirements.txt")+"`")
		}
		zig = []string{"python3", "-m", "ziglang"}
	}
	out, err := p.out("module.wasm")
	if err != nil {
		return nil, err
	}
	if err := p.run(ctx, nil, append(zig, "build-exe", "-target", "wasm32-freestanding", "-O", "ReleaseSafe", "-fno-entry", "-rdynamic",
		"-femit-bin="+out, "--cache-dir", filepath.Join(filepath.Dir(out), "zig"),
		"--dep", "wasmgate", "-Mroot=src/main.zig", "-Mwasmgate=sdk/src/wasmgate.zig")...); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}
