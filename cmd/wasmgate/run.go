package main

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wasmgate/wasmgate/host"
)

func (a *app) run() *cobra.Command {
	var profile string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve until SIGINT or SIGTERM; SIGHUP reloads",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := a.options(cmd)
			if err != nil {
				return err
			}
			h, err := host.New(options)
			if err != nil {
				return err
			}
			defer h.Close()
			return profiled(profile, func() error { return serve(cmd.Context(), h, options.Config, cmd.ErrOrStderr()) })
		},
	}
	cmd.Flags().StringVar(&profile, "cpu-profile", "", "`file` to write a CPU profile of the whole run to, for go tool pprof")
	return cmd
}

// profiled runs f and writes a CPU profile of it to file; empty writes none.
func profiled(file string, f func() error) (err error) {
	if file == "" {
		return f()
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return errors.Join(fmt.Errorf("write CPU profile: %w", err), out.Close())
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, out.Close())
}

// serve runs h until the first SIGINT or SIGTERM; the second ends the process at once.
func serve(parent context.Context, h *host.Host, config *host.Config, stderr io.Writer) error {
	ctx, release := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release)

	// Both goroutines end with ctx and are waited for here.
	var background sync.WaitGroup
	defer background.Wait()
	defer release()
	background.Go(func() { announce(ctx, h, config, stderr) })
	background.Go(func() { reloadOnHangup(ctx, h) })
	return h.Run(ctx)
}

// announce tells, once h serves, which certificate its clients must trust.
func announce(ctx context.Context, h *host.Host, config *host.Config, stderr io.Writer) {
	select {
	case <-ctx.Done():
		return
	case <-h.Ready():
	}
	if config.TLS.Mode != "internal" {
		return
	}
	file := filepath.Join(config.DataDir, "ca.crt")
	print, err := fingerprint(file)
	if err != nil {
		fmt.Fprintln(stderr, "wasmgate:", config.Scrub(err.Error()))
		return
	}
	fmt.Fprintf(stderr, "CA certificate %s, SHA-256 %s\n", config.Scrub(file), print)
}

// reloadOnHangup reloads at each SIGHUP. The host logs what came of it.
func reloadOnHangup(ctx context.Context, h *host.Host) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			_ = h.Reload(ctx)
		}
	}
}

// fingerprint is the SHA-256 of the first certificate in file, as openssl prints it.
func fingerprint(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the CA certificate: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return "", fmt.Errorf("read the CA certificate: %s holds no PEM certificate", file)
	}
	sum := sha256.Sum256(block.Bytes)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":"), nil
}
