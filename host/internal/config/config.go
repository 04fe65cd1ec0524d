package config

import (
	"crypto/sha256"
	"time"

	"github.com/wasmgate/wasmgate/host/internal/document"
	"github.com/wasmgate/wasmgate/host/internal/signature"
)

// Config is the whole process configuration. Defaults stand in the table; sizes are in
// bytes. Nobody changes it after [Load], so it is safe for concurrent use.
type Config struct {
	// File is the file it was read from; empty when there was none.
	File string
	// Digest is the SHA-256 of that file's bytes; zeros when there was none.
	Digest [sha256.Size]byte

	Listen     Listen
	TLS        TLS
	DataDir    string // what the gateway keeps: certificates, compile cache, state
	Plugins    Plugins
	APIs       APIs
	Upstreams  Upstreams
	Limits     Limits
	Timeouts   Timeouts
	Cache      Cache
	Throttle   Throttle
	Recordings Recordings
	Log        Log
	// Secrets are what a policy's grants may name.
	Secrets map[string]Secret

	options Options                   // what it was loaded with
	values  map[string]document.Value // by key, what each was read from

	// Resolver resolves references in API documents with the same environment.
	Resolver *document.Resolver
}

// Reload loads again what c was loaded from: its file as it is now, with the same flags and
// environment. Both know the values of each other's references.
func (c *Config) Reload() (*Config, error) { return Load(c.options) }

// Scrub is text without the values of references: for everything that is shown.
func (c *Config) Scrub(text string) string { return c.Resolver.Redactor.Scrub(text) }

// Problem is a problem of what key says, where it stands. Got is followed by why, which
// may be empty.
func (c *Config) Problem(key, why, want string) document.Problem {
	v := c.values[key]
	got := v.String()
	if why != "" {
		got += " (" + why + ")"
	}
	return v.Problem(got, want)
}

// Listen is the addresses, each host:port.
type Listen struct {
	HTTPS string // the door
	HTTP  string // redirects to HTTPS and answers ACME; empty is off
	Admin string // the admin plane
	// ProxyProtocol are the addresses and networks whose connections begin with a PROXY header.
	ProxyProtocol []string
	// TrustedProxies are the addresses and networks whose X-Forwarded-For and the like pass.
	TrustedProxies []string
}

// TLS is the certificates at the door.
type TLS struct {
	Mode         string // ModeInternal, ModeFiles or ModeACME
	MinVersion   string // "1.2" or "1.3"
	Certificates []Certificate
	ACME         ACME
}

// The TLS modes.
const (
	ModeInternal = "internal" // a local CA in the data directory
	ModeFiles    = "files"    // PEM files, reloaded when they change
	ModeACME     = "acme"     // issued by an ACME CA
)

// Certificate is a pair of PEM files.
type Certificate struct {
	Cert string // chain, leaf first
	Key  string
}

// ACME is the CA that issues certificates (RFC 8555).
type ACME struct {
	Email            string
	Directory        string   // the CA's directory URL
	Domains          []string // names to get certificates for
	CARoot           string   // PEM file that the CA's own certificate is checked against; empty is the system's roots
	HTTPChallenge    bool     // http-01, on the plain listener
	TLSALPNChallenge bool     // tls-alpn-01, on the HTTPS listener
}

// Plugins is where plugins are and what each may take, unless its policy says otherwise.
type Plugins struct {
	Dir         string // *.wasm in it is hot-loaded
	Fuel        uint64 // charged instructions of one call
	Memory      int64  // linear memory of one instance
	Instances   int    // pooled instances of one policy
	ModuleBytes int64  // the longest module

	Signers  []signature.Signer   // who may sign which plugins
	Unsigned []signature.Unsigned // what may come without a signature
	Pull     Pull
}

// APIs is where the API documents are.
type APIs struct {
	Dir string
}

// Upstreams bounds the calls of integrations.
type Upstreams struct {
	Allow            []string // private addresses that a computed host may reach: host, host:port, address or CIDR
	CAFile           string   // PEM file beside the system's roots
	ConnectTimeout   time.Duration
	FirstByteTimeout time.Duration // from the request's end to the response head
	IdleTimeout      time.Duration // of a pooled connection
	Timeout          time.Duration // the whole call, where the integration has none
	MaxConnections   int           // to one host
	MaxIdle          int           // pooled, to one host
	RetryBudget      float64       // retries as a share of requests
}

// Limits bounds what clients may send.
type Limits struct {
	HeaderCount           int
	HeaderBytes           int64
	URLBytes              int64
	BodyBytes             int64
	Streams               int // at once on one HTTP/2 connection
	Connections           int
	ConnectionsPerAddress int   // or IPv6 network of 64 bits
	AbandonedRequests     int   // of HTTP/2, on all connections, whose clients have reset them or left
	MinRate               int64 // bytes a second of a body, beyond the ten seconds that it may be waited for
}

// Timeouts bounds how long clients may take.
type Timeouts struct {
	Hello    time.Duration // TLS handshake
	Head     time.Duration // request head, from its first byte
	Body     time.Duration // between two reads of a body
	Idle     time.Duration // between two requests
	Write    time.Duration // of 16 KiB of a response
	Shutdown time.Duration // for requests in flight, at the end
}

// Cache is the response cache in memory.
type Cache struct {
	Bytes    int64
	MaxEntry int64
}

// Throttle is the token buckets in memory.
type Throttle struct {
	Buckets int
}

// Recordings is what policies with record write.
type Recordings struct {
	Bytes int64 // of one plugin's files
}

// Log is the logs.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // json or text
	Access AccessLog
}

// AccessLog is one line a request.
type AccessLog struct {
	Enabled     bool
	File        string   // empty is standard output
	Sample      float64  // share of the requests below 400 that is logged
	RedactQuery []string // query parameters whose values are not logged
}

// Known is every value that must not be shown: of secrets, and of references, which are no
// secrets always.
func (c *Config) Known() (secrets, references []string) {
	for _, s := range c.Secrets {
		secrets = append(secrets, s.value)
	}
	return secrets, c.Resolver.Redactor.Values()
}

// Secret is a value that prints as [document.Redacted].
type Secret struct{ value string }

// Reveal is the value.
func (s Secret) Reveal() string { return s.value }

// String is [document.Redacted], so that no format verb prints the value.
func (s Secret) String() string { return document.Redacted }

// GoString is [document.Redacted].
func (s Secret) GoString() string { return document.Redacted }

// MarshalText is [document.Redacted].
func (s Secret) MarshalText() ([]byte, error) { return []byte(document.Redacted), nil }
