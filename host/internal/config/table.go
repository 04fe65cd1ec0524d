package config

import (
	"time"

	"github.com/wasmgate/wasmgate/host/internal/document"
)

// entry is one key of the process file.
type entry struct {
	key     string
	doc     string
	initial string // the default, as it would stand in an environment variable
	schema  object
	literal func(string) any
	read    func(document.Value)
}

func bind[T any](key string, into *T, k kind[T], initial, doc string) entry {
	return entry{key, doc, initial, k.schema, k.literal, func(v document.Value) { *into = k.read(v) }}
}

const (
	day      = 24 * time.Hour
	tebibyte = 1 << 40
	many     = 1 << 30
)

// table is every key, bound to its place in c, in the order of the documentation.
func (c *Config) table() []entry { return append(c.door(), c.inside()...) }

const ms = time.Millisecond

// door is what clients meet.
func (c *Config) door() []entry {
	return []entry{
		bind("listen.https", &c.Listen.HTTPS, address, "127.0.0.1:8443", "Address of the door: HTTPS, HTTP/1.1 and HTTP/2."),
		bind("listen.http", &c.Listen.HTTP, optional(address), "127.0.0.1:8080", "Address of the plain listener, which only redirects to HTTPS and answers ACME; empty is off."),
		bind("listen.admin", &c.Listen.Admin, address, "127.0.0.1:9443", "Address of the admin plane."),

		bind("listen.proxy_protocol", &c.Listen.ProxyProtocol, list(network, true), "", "Addresses and networks of the load balancers whose connections, on https and http, must begin with a PROXY protocol header, version 1 or 2; it tells the client's address."),
		bind("listen.trusted_proxies", &c.Listen.TrustedProxies, list(network, true), "", "Addresses and networks of the proxies whose X-Forwarded-For, Forwarded and X-Real-IP are passed on; those of others are dropped."),

		bind("tls.mode", &c.TLS.Mode, choice(ModeInternal, ModeFiles, ModeACME), ModeInternal, "Where certificates come from: a local CA in data_dir, files, or an ACME CA."),
		bind("tls.min_version", &c.TLS.MinVersion, choice("1.2", "1.3"), "1.2", "The lowest TLS version at the door."),
		bind("tls.certificates", &c.TLS.Certificates, certificates, "[]", "PEM files for mode files, reloaded when they change; the first serves unknown names."),
		bind("tls.acme.email", &c.TLS.ACME.Email, email, "", "Contact address for the ACME account."),
		bind("tls.acme.directory", &c.TLS.ACME.Directory, link, "https://acme-v02.api.letsencrypt.org/directory", "Directory URL of the ACME CA."),
		bind("tls.acme.domains", &c.TLS.ACME.Domains, list(domain, true), "", "Names to get certificates for."),
		bind("tls.acme.ca_root", &c.TLS.ACME.CARoot, maybe, "", "PEM file that the ACME CA's own certificate is checked against; empty is the system's roots."),
		bind("tls.acme.http_challenge", &c.TLS.ACME.HTTPChallenge, boolean, "true", "Prove names by http-01 on the plain listener."),
		bind("tls.acme.tls_alpn_challenge", &c.TLS.ACME.TLSALPNChallenge, boolean, "true", "Prove names by tls-alpn-01 at the door."),

		bind("limits.header_count", &c.Limits.HeaderCount, integer[int](1, 10000), "200", "Header fields of one request."),
		bind("limits.header_bytes", &c.Limits.HeaderBytes, size(1<<10, 16<<20), "64KiB", "Bytes of one request's head."),
		bind("limits.url_bytes", &c.Limits.URLBytes, size(128, 1<<20), "10240", "Bytes of the request target; Amazon's limit."),
		bind("limits.body_bytes", &c.Limits.BodyBytes, size(0, tebibyte), "10MiB", "Bytes of a request body; Amazon's limit."),
		bind("limits.streams", &c.Limits.Streams, integer[int](1, 10000), "100", "HTTP/2 streams of one connection at once."),
		bind("limits.connections", &c.Limits.Connections, integer[int](1, many), "10000", "Connections at the door at once."),
		bind("limits.connections_per_address", &c.Limits.ConnectionsPerAddress, integer[int](1, many), "1000", "Connections at once from one IPv4 address, or one IPv6 network of 64 bits."),
		bind("limits.min_rate", &c.Limits.MinRate, size(0, many), "256", "Bytes a second that a client must send of a body, once it was waited for ten seconds; 0 is off. For answers see timeouts.write."),
		bind("limits.abandoned_requests", &c.Limits.AbandonedRequests, integer[int](1, many), "300", "HTTP/2 requests at once that are still worked on though their clients have reset them or left; above, the clients with most of them are cut off."),

		bind("timeouts.hello", &c.Timeouts.Hello, span(ms, time.Hour), "10s", "For the TLS handshake."),
		bind("timeouts.head", &c.Timeouts.Head, span(ms, time.Hour), "10s", "For a request's head, from its first byte."),
		bind("timeouts.body", &c.Timeouts.Body, span(ms, day), "30s", "Between two pieces of a request body."),
		bind("timeouts.idle", &c.Timeouts.Idle, span(ms, day), "120s", "Between two requests of a connection."),
		bind("timeouts.write", &c.Timeouts.Write, span(ms, day), "30s", "For the client to take 16 KiB of the response, which at 30s makes 546 bytes a second the least."),
		bind("timeouts.shutdown", &c.Timeouts.Shutdown, span(0, day), "30s", "For requests in flight at the end."),
	}
}

// inside is what clients do not see.
func (c *Config) inside() []entry {
	return []entry{
		bind("data_dir", &c.DataDir, path, "data", "Directory for certificates, the compile cache and state."),
		bind("plugins.dir", &c.Plugins.Dir, maybe, "plugins", "Directory of *.wasm files, hot-loaded; empty is none. Built-in plugins are in the binary."),
		bind("plugins.fuel", &c.Plugins.Fuel, integer[uint64](1000, 1e15), "50000000", "Wasm instructions that one call may take."),
		bind("plugins.memory", &c.Plugins.Memory, size(64<<10, 4<<30), "64MiB", "Linear memory that one instance may take."),
		bind("plugins.instances", &c.Plugins.Instances, integer[int](1, 10000), "64", "Instances that one policy may have at once."),
		bind("plugins.module_bytes", &c.Plugins.ModuleBytes, size(1<<10, 1<<30), "32MiB", "The longest module."),
		bind("plugins.signers", &c.Plugins.Signers, signers, "[]", "Whose signatures are taken for which plugins; with any rule here or in plugins.unsigned, an id that no rule names is refused."),
		bind("plugins.unsigned", &c.Plugins.Unsigned, unsigned, "[]", "Which plugins may come without a signature, and from where: dir (plugins.dir), file, https or oci. Without any rule: all from dir, none from elsewhere."),
		bind("plugins.pull.timeout", &c.Plugins.Pull.Timeout, span(ms, time.Hour), "60s", "For getting one module over the network."),
		bind("plugins.pull.ca_file", &c.Plugins.Pull.CAFile, maybe, "", "PEM file of CAs for registries and module servers, beside the system's."),
		bind("plugins.pull.plain_http", &c.Plugins.Pull.PlainHTTP, list(loopback, true), "", "Registries on this machine, host:port, that are asked by plain HTTP; all others are asked by HTTPS."),
		bind("plugins.pull.proxy", &c.Plugins.Pull.Proxy, proxy, "", "URL of the proxy that modules come through; empty is none, and the environment's is not used."),
		bind("plugins.pull.docker_config", &c.Plugins.Pull.DockerConfig, maybe, "", "Docker's config.json with credentials for registries; credential helpers are not run. Empty is none."),
		bind("plugins.pull.credentials", &c.Plugins.Pull.Credentials, credentials, "{}", "By registry, username and password; best as ${env:NAME} or ${file:/path}."),
		bind("apis.dir", &c.APIs.Dir, path, "apis", "Directory of the API documents, watched."),

		bind("upstreams.allow", &c.Upstreams.Allow, list(target, true), "", "Loopback, private or link-local addresses that a host computed at request time may reach."),
		bind("upstreams.ca_file", &c.Upstreams.CAFile, maybe, "", "PEM file of CAs for upstreams, beside the system's."),
		bind("upstreams.connect_timeout", &c.Upstreams.ConnectTimeout, span(ms, time.Hour), "5s", "For connecting, TLS included."),
		bind("upstreams.first_byte_timeout", &c.Upstreams.FirstByteTimeout, span(ms, time.Hour), "29s", "From the end of the request to the head of the response."),
		bind("upstreams.idle_timeout", &c.Upstreams.IdleTimeout, span(ms, day), "60s", "After which a pooled connection is closed."),
		bind("upstreams.timeout", &c.Upstreams.Timeout, span(ms, day), "29s", "For the whole call, where the integration says nothing; Amazon's default."),
		bind("upstreams.max_connections", &c.Upstreams.MaxConnections, integer[int](1, 1e6), "300", "Connections to one upstream at once."),
		bind("upstreams.max_idle", &c.Upstreams.MaxIdle, integer[int](0, 1e6), "100", "Pooled connections to one upstream."),
		bind("upstreams.retry_budget", &c.Upstreams.RetryBudget, share(1), "0.2", "Retries, as a share of the requests to one upstream."),

		bind("cache.bytes", &c.Cache.Bytes, size(0, tebibyte), "64MiB", "Memory of the response cache; 0 is off."),
		bind("cache.max_entry", &c.Cache.MaxEntry, size(0, many), "1MiB", "The longest response that is cached; Amazon's limit."),
		bind("throttle.buckets", &c.Throttle.Buckets, integer[int](1, many), "1000000", "Token buckets kept in memory."),

		bind("recordings.bytes", &c.Recordings.Bytes, size(1<<20, tebibyte), "64MiB", "Bytes that the recordings of one plugin take in data_dir/recordings; the oldest are removed."),

		bind("log.level", &c.Log.Level, choice("debug", "info", "warn", "error"), "info", "The lowest level that is logged."),
		bind("log.format", &c.Log.Format, choice("json", "text"), "json", "Form of the log lines."),
		bind("log.access.enabled", &c.Log.Access.Enabled, boolean, "true", "Whether requests are logged."),
		bind("log.access.file", &c.Log.Access.File, maybe, "", "File of the access log; empty is standard output."),
		bind("log.access.sample", &c.Log.Access.Sample, share(1), "1", "Share of the requests that is logged; those with a status of 400 and above always are."),
		bind("log.access.redact_query", &c.Log.Access.RedactQuery, list(filled, false), "access_token,api_key,apikey,code,id_token,key,password,secret,signature,sig,token,x-amz-credential,x-amz-security-token,x-amz-signature", "Query parameters whose values are not logged, in any case."),

		bind("secrets", &c.Secrets, secrets, "{}", "Values that grants may name; best as ${env:NAME} or ${file:/path}."),
	}
}
