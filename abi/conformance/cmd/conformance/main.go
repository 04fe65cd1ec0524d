// Conformance runs the suite of the plugin ABI against a host, which ../../README.md tells how
// to connect:
//
//	go run ./abi/conformance/cmd/conformance -bind http://127.0.0.1:9000/bind -base https://host.example/stage -ca ca.pem
//
// It prints what was missed and the score by group, and exits with 1 when anything was.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"time"

	"github.com/wasmgate/wasmgate/abi/conformance"
)

func main() {
	err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, usage io.Writer) error {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(usage)
	bind := flags.String("bind", "", "URL that takes bindings with PUT")
	base := flags.String("base", "", "URL, http or https, below which the host serves the routes")
	ca := flags.String("ca", "", "file of CA certificates, PEM, that the host's is checked by; default the system's")
	connect := flags.String("connect", "", "host:port to connect to, whatever the base's host is")
	only := flags.String("run", "", "regular expression of the ids of cases to run")
	list := flags.Bool("list", false, "list the ids and names of the cases, and run none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("read -run: %w", err)
	}
	if *list {
		return printList(out, pattern)
	}
	if *bind == "" || *base == "" || flags.NArg() > 0 {
		flags.Usage()
		return errors.New("want -bind and -base, or -list")
	}
	client, err := newClient(*ca, *connect)
	if err != nil {
		return err
	}
	r := &conformance.Runner{Host: &conformance.Remote{URL: *bind, Client: &http.Client{Timeout: 5 * time.Minute}}, Base: *base,
		Client: client, Only: pattern.MatchString}
	outcomes, err := r.Run(ctx)
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		if o.Err != nil {
			fmt.Fprintf(out, "%s: %v\n", o.ID, o.Err)
		}
	}
	table, missed := conformance.Table(outcomes)
	fmt.Fprint(out, table)
	if missed > 0 || len(outcomes) == 0 {
		return fmt.Errorf("%d of %d cases missed", missed, len(outcomes))
	}
	return nil
}

func printList(out io.Writer, pattern *regexp.Regexp) error {
	cases, err := conformance.Suite()
	if err != nil {
		return err
	}
	for _, c := range cases {
		if pattern.MatchString(c.ID) {
			fmt.Fprintf(out, "%s\t%s\n", c.ID, c.Name)
		}
	}
	return nil
}

// newClient speaks HTTP/1.1 or HTTP/2 as the host does.
func newClient(ca, connect string) (*http.Client, error) {
	config := &tls.Config{}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read %s: it holds no certificate", ca)
		}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableCompression: true}
	if connect != "" {
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, connect)
		}
	}
	return &http.Client{Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}
