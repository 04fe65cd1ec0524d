package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a child with its own children, such as nginx's workers.
type process struct {
	name   string
	cmd    *exec.Cmd
	output *bytes.Buffer // read it only after exited is closed
	exited chan struct{}
}

// startProcess starts a command that ends with SIGTERM at stop or when ctx ends, and with
// SIGKILL ten seconds later.
func startProcess(ctx context.Context, name string, argv []string, env ...string) (*process, error) {
	// Four thousand idle connections need more files than the usual soft limit.
	raise := []string{"-c", `ulimit -n "$(ulimit -Hn)"; exec "$0" "$@"`}
	p := &process{name: name, cmd: exec.CommandContext(ctx, "/bin/sh", append(raise, argv...)...),
		output: new(bytes.Buffer), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	// A group of its own, so that Ctrl-C reaches us first and we stop it in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // stop waits for it
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// stop ends p and waits until it is gone.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// failure is what p said before it ended by itself; nil while it runs.
func (p *process) failure() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended: %v: %s", p.name, p.cmd.ProcessState, bytes.TrimSpace(p.output.Bytes()))
	default:
		return nil
	}
}

// usage is what p and its descendants used.
type usage struct {
	CPU time.Duration // user and system since they started, ended children included
	RSS int64         // bytes, resident now
}

// ticks is the unit of CPU time in /proc, fixed in the kernel's interface to programs.
const ticks = time.Second / 100

func (p *process) usage() (usage, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return usage{}, err
	}
	parents, own := map[int]int{}, map[int]usage{}
	for _, file := range stats {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it ended since
		}
		pid, parent, used, err := parseStat(string(data))
		if err != nil {
			return usage{}, fmt.Errorf("read %s: %w", file, err)
		}
		parents[pid], own[pid] = parent, used
	}
	root := p.cmd.Process.Pid
	if _, running := own[root]; !running {
		return usage{}, errors.Join(fmt.Errorf("%s is gone", p.name), p.failure())
	}
	var sum usage
	for pid, used := range own {
		for at := pid; at != 0; at = parents[at] {
			if at == root {
				sum.CPU += used.CPU
				sum.RSS += used.RSS
				break
			}
		}
	}
	return sum, nil
}

// parseStat reads the line of proc(5)'s /proc/pid/stat. The name, field 2, may hold anything.
func parseStat(line string) (pid, parent int, used usage, err error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return 0, 0, usage{}, fmt.Errorf("got %q, want a name in parentheses", line)
	}
	fields := strings.Fields(line[end+1:]) // from field 3 on
	if len(fields) < 22 {
		return 0, 0, usage{}, fmt.Errorf("got %d fields, want 24", len(fields)+2)
	}
	number := func(field int) (n int64) {
		n, e := strconv.ParseInt(fields[field-3], 10, 64)
		err = errors.Join(err, e)
		return n
	}
	pid, e := strconv.Atoi(strings.TrimSpace(line[:strings.IndexByte(line, '(')]))
	err = errors.Join(err, e)
	parent = int(number(4))
	used.CPU = time.Duration(number(14)+number(15)+number(16)+number(17)) * ticks
	used.RSS = number(24) * int64(os.Getpagesize())
	return pid, parent, used, err
}
