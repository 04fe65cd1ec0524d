// Command httpwasm is a peer of the benchmark: net/http's server and reverse proxy with
// one http-wasm guest between them, which is how Traefik runs its Wasm plugins.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/http-wasm/http-wasm-host-go/handler"
	wasm "github.com/http-wasm/http-wasm-host-go/handler/nethttp"
	"github.com/tetratelabs/wazero"
)

func main() {
	listen := flag.String("listen", "", "address to serve")
	upstream := flag.String("upstream", "", "URL of the upstream")
	cert := flag.String("cert", "", "certificate file")
	key := flag.String("key", "", "key file")
	guest := flag.String("guest", "", "http-wasm guest")
	pool := flag.Int("pool", 64, "idle connections to the upstream")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen, *upstream, *cert, *key, *guest, *pool); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, listen, upstream, cert, key, guest string, pool int) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	code, err := os.ReadFile(guest)
	if err != nil {
		return err
	}
	// Guests built by Go are reactors: _initialize, not _start.
	start := handler.ModuleConfig(wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	middleware, err := wasm.NewMiddleware(ctx, code, start)
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = pool, pool
	transport.DisableCompression = true
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := &http.Server{Addr: listen, Handler: middleware.NewHandler(ctx, proxy)}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.ListenAndServeTLS(cert, key); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
