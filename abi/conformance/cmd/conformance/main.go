package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/wasmgate/wasmgate/abi/conformance"
)

func main() {
	export := flag.String("export", "", "`folder` to write bindings.json and the modules to; then nothing is run")
	upstream := flag.String("upstream", "127.0.0.1:9911", "`address` of the upstream that the suite plays")
	target := flag.String("url", "", "what stands before the routes, such as https://127.0.0.1:8443/prod")
	ca := flag.String("ca", "", "PEM `file` of the authority of the host's certificate")
	connect := flag.String("connect", "", "`address` to connect to, whatever the URL says")
	http2 := flag.Bool("http2", false, "use HTTP/2 where the host offers it")
	flag.Parse()
	var err error
	if *export != "" {
		err = write(*export, "http://"+*upstream)
	} else {
		err = run(*upstream, *target, *ca, *connect, *http2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// write puts everything that a host must bind into a folder.
func write(dir, upstream string) error {
	suite, err := conformance.Load()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, wasm := range suite.Modules {
		if err := os.WriteFile(filepath.Join(dir, name+".wasm"), wasm, 0o644); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(suite.Bindings(upstream), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "bindings.json"), append(text, '\n'), 0o644)
}

func run(upstream, target, ca, connect string, http2 bool) error {
	if u, err := url.Parse(target); err != nil || u.Host == "" {
		return fmt.Errorf("url: got %q, want such as https://127.0.0.1:8443", target)
	}
	suite, err := conformance.Load()
	if err != nil {
		return err
	}
	client, err := newClient(ca, connect, http2)
	if err != nil {
		return err
	}
	up, err := conformance.ListenUpstream(upstream)
	if err != nil {
		return err
	}
	defer up.Close()
	table, passed := conformance.Table(conformance.Run(context.Background(), suite, conformance.Target{URL: target, Client: client, Upstream: up}))
	fmt.Print(table)
	if !passed {
		return errors.New("not every case passed")
	}
	return nil
}

func newClient(ca, connect string, http2 bool) (*http.Client, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{}, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetHTTP2(http2)
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no PEM certificate", ca)
		}
	}
	if connect != "" {
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, connect)
		}
	}
	return &http.Client{Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}
