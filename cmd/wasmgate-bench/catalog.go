package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// wasmgate is the gateway itself, with three policies: authorize, throttle, map_request.
func wasmgate() *peer {
	return gateway("wasmgate", func(b *bench) string { return b.gateway })
}

// earlier is another build of the gateway, to see what a change brings.
func earlier() *peer {
	return gateway("earlier", func(b *bench) string { return b.earlier })
}

func gateway(name string, binary func(*bench) string) *peer {
	return &peer{
		name: name, policies: "jwt, rate-limit, transform (Wasm)",
		file: "wasmgate.yaml", config: wasmgateConfig,
		prepare: func(_ context.Context, b *bench, at *place) error {
			at.Binary = binary(b)
			if _, err := os.Stat(at.Binary); err != nil {
				return missing(at.Binary + " is not built: make build")
			}
			return at.writeAPI("bench.yaml", wasmgateAPI)
		},
		argv: []string{"run", "--config", "{{.Dir}}/wasmgate.yaml"},
		env:  []string{"GOMAXPROCS={{.Workers}}"},
	}
}

// writeAPI writes a document into the gateway's apis.dir.
func (at *place) writeAPI(name, text string) error {
	document, err := at.fill(text)
	if err != nil {
		return err
	}
	dir := filepath.Join(at.Dir, "apis")
	return errors.Join(os.MkdirAll(dir, 0o700), writeFile(filepath.Join(dir, name), []byte(document)))
}

// writeFile puts data under name at once, as an editor or a deployment does.
func writeFile(name string, data []byte) error {
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

const wasmgateConfig = `listen: {https: "127.0.0.1:{{.Port}}", http: "", admin: "127.0.0.1:{{.Admin}}"}
tls: {mode: files, certificates: [{cert: "{{.Cert}}", key: "{{.Key}}"}]}
data_dir: data
upstreams: {max_idle: {{.Pool}}}
limits: {connections: 100000, connections_per_address: 100000}
log: {level: error, access: {enabled: false}}
`

const wasmgateAPI = `openapi: 3.0.3
info: {title: Benchmark, version: "1"}
x-wasmgate-api: {id: bench, stage: $default, domains: [127.0.0.1]}
paths:
  /{size}:
    x-amazon-apigateway-any-method:
      security: [{jwt: []}]
      x-wasmgate-policies:
        - {plugin: rate-limit, config: {rate: 1000000, burst: 1000000, by: address}}
        - {plugin: transform, config: {request: {headers: {set: {x-gateway: wasmgate}}}}}
      x-amazon-apigateway-integration: {type: http_proxy, httpMethod: ANY, uri: "http://{{.Upstream}}/{size}"}
      responses: {"200": {description: The fixed answer}}
  /reloaded/{size}: # no more than the plugin that the row reloads writes again and again
    get:
      x-wasmgate-policies: [{{if .Extra}}{plugin: {{.Extra}}}{{end}}]
      x-amazon-apigateway-integration: {type: http_proxy, httpMethod: ANY, uri: "http://{{.Upstream}}/{size}"}
      responses: {"200": {description: The fixed answer}}
  /cors/{size}:
    get:
      x-wasmgate-policies: [{plugin: cors, config: {allow_origins: ["https://example.com"]}}]
      x-amazon-apigateway-integration: {type: http_proxy, httpMethod: ANY, uri: "http://{{.Upstream}}/{size}"}
      responses: {"200": {description: The fixed answer}}
  /cached/{size}:
    get:
      x-wasmgate-policies:
        - {plugin: cache, config: {ttl_s: 3600}}
      x-amazon-apigateway-integration: {type: http_proxy, httpMethod: ANY, uri: "http://{{.Upstream}}/{size}"}
      responses: {"200": {description: The fixed answer}}
components:
  securitySchemes:
    jwt:
      type: oauth2
      x-amazon-apigateway-authorizer:
        type: jwt
        identitySource: $request.header.Authorization
        jwtConfiguration: {issuer: "{{.Issuer}}", audience: [bench]}
`

// TLS 1.3 with AES-128 everywhere: what Go and BoringSSL choose by themselves on machines
// with AES instructions. OpenSSL would take the client's first, AES-256.
var nginx = &peer{
	name: "nginx", policies: "none", binary: "nginx", file: "nginx.conf",
	argv: []string{"-p", "{{.Dir}}", "-e", "stderr", "-c", "nginx.conf"},
	config: `daemon off; pid nginx.pid; error_log stderr crit;
{{if .Root}}user root;{{end}} worker_processes {{.Workers}}; worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 600;
  client_max_body_size 10m; proxy_request_buffering off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  proxy_cache_path cache keys_zone=cache:10m;
  upstream fixed { server {{.Upstream}}; keepalive {{.Pool}}; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:{{.Port}} ssl http2 backlog=8192;
    ssl_certificate {{.Cert}}; ssl_certificate_key {{.Key}};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    proxy_http_version 1.1; proxy_set_header Connection "";
    location / { proxy_pass http://fixed; }
    location /cached/ { proxy_cache cache; proxy_cache_key $uri; proxy_cache_valid 200 1h; proxy_pass http://fixed/; }
  }
}
`,
}

var haproxy = &peer{
	name: "haproxy", policies: "none", binary: "haproxy", file: "haproxy.cfg",
	argv: []string{"-db", "-f", "{{.Dir}}/haproxy.cfg"},
	config: `global
  nbthread {{.Workers}}
  maxconn 8192
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
defaults
  mode http
  timeout connect 5s
  timeout client 10m
  timeout server 60s
  http-reuse always
frontend door
  bind 127.0.0.1:{{.Port}} ssl crt {{.PEM}} alpn h2,http/1.1
  default_backend fixed
backend fixed
  server one {{.Upstream}} pool-max-conn {{.Pool}}
`,
}

// envoy is Envoy, bare or with one proxy-wasm filter that reads the authorization header
// and sets one header.
func envoy(filter bool) *peer {
	p := &peer{
		name: "envoy", policies: "none", binary: "envoy", file: "envoy.yaml", config: envoyConfig,
		argv: []string{"-c", "{{.Dir}}/envoy.yaml", "--concurrency", "{{.Workers}}", "--use-dynamic-base-id", "--log-level", "error"},
	}
	if filter {
		p.name, p.policies = "envoy+wasm", "one proxy-wasm filter (Go)"
		p.prepare = func(ctx context.Context, b *bench, at *place) error {
			at.Wasm = filepath.Join(at.Dir, "filter.wasm")
			return b.buildGuest(ctx, "./envoyfilter", at.Wasm)
		}
	}
	return p
}

const envoyConfig = `static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: {{.Port}}}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_params: {tls_maximum_protocol_version: TLSv1_3}
            tls_certificates: [{certificate_chain: {filename: {{.Cert}}}, private_key: {filename: {{.Key}}}}]
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: door
          generate_request_id: false
          route_config:
            virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: fixed}}]}]
          http_filters:
{{- if .Wasm}}
          - name: envoy.filters.http.wasm
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                vm_config: {runtime: envoy.wasm.runtime.v8, code: {local: {filename: {{.Wasm}}}}}
{{- end}}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: fixed
    type: STATIC
    load_assignment:
      cluster_name: fixed
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{.UpstreamPort}}}}}}]}]
`

var caddy = &peer{
	name: "caddy", policies: "none", binary: "caddy", file: "caddy.json",
	argv: []string{"run", "--config", "{{.Dir}}/caddy.json"},
	env:  []string{"GOMAXPROCS={{.Workers}}", "XDG_DATA_HOME={{.Dir}}", "XDG_CONFIG_HOME={{.Dir}}"},
	config: `{"admin": {"disabled": true}, "logging": {"logs": {"default": {"level": "ERROR"}}},
"apps": {
  "tls": {"certificates": {"load_files": [{"certificate": "{{.Cert}}", "key": "{{.Key}}"}]}},
  "http": {"servers": {"door": {
    "listen": ["127.0.0.1:{{.Port}}"], "protocols": ["h1", "h2"], "automatic_https": {"disable": true},
    "tls_connection_policies": [{}],
    "routes": [{"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "{{.Upstream}}"}],
      "transport": {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": {{.Pool}}}}}]}]
  }}}
}}
`,
}

// httpwasm is net/http with one http-wasm guest, as Traefik runs its Wasm plugins.
var httpwasm = &peer{
	name: "http-wasm", policies: "one http-wasm guest (Go) on net/http",
	prepare: func(ctx context.Context, b *bench, at *place) error {
		at.Binary, at.Wasm = filepath.Join(at.Dir, "httpwasm"), filepath.Join(at.Dir, "guest.wasm")
		if err := b.build(ctx, "./httpwasm", at.Binary, nil); err != nil {
			return err
		}
		return b.buildGuest(ctx, "./httpwasm/guest", at.Wasm)
	},
	argv: []string{"-listen", "127.0.0.1:{{.Port}}", "-upstream", "http://{{.Upstream}}", "-cert", "{{.Cert}}",
		"-key", "{{.Key}}", "-guest", "{{.Wasm}}", "-pool", "{{.Pool}}"},
	env: []string{"GOMAXPROCS={{.Workers}}"},
}

// buildGuest compiles a guest among the peers to Wasm.
func (b *bench) buildGuest(ctx context.Context, pkg, into string) error {
	return b.build(ctx, pkg, into, []string{"GOOS=wasip1", "GOARCH=wasm"}, "-buildmode=c-shared")
}

// build compiles a program among the peers. A module that cannot be had makes it missing.
func (b *bench) build(ctx context.Context, pkg, into string, env []string, flags ...string) error {
	args := append([]string{"build", "-o", into}, flags...)
	command := exec.CommandContext(ctx, "go", append(args, pkg)...)
	command.Dir = filepath.Join(b.root, "cmd/wasmgate-bench/peers")
	command.Env = append(os.Environ(), env...)
	if out, err := command.CombinedOutput(); err != nil {
		return missing(fmt.Sprintf("build %s: %v: %s", pkg, err, out))
	}
	return nil
}
