package guest

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// Options are for [New]. The zero value works, without a cache on disk and without powers.
type Options struct {
	// CacheDir keeps compiled modules over restarts; empty is none. What stands in it is
	// native code that will be run: it must belong to the gateway alone. A directory that
	// cannot be used, or is damaged, is logged and done without.
	CacheDir string
	// Fuel is the budget of one call of a policy that sets none; 0 is 50 million, about
	// 10 to 50 ms of CPU.
	Fuel uint64
	// Memory is the cap of one instance's memory of a policy that sets none, in bytes; 0
	// is 64 MiB.
	Memory uint64
	// Instances is how many instances a policy may have at once; 0 is 64.
	Instances int
	// MaxModuleBytes is the longest module; 0 is 32 MiB.
	MaxModuleBytes int64
	// ABIs are those of other projects that adapters serve.
	ABIs []*ABI
	// Powers are what granted capabilities reach.
	Powers Powers
	// Logger gets the guests' lines and the engine's own; nil is slog.Default.
	Logger *slog.Logger
	// Now is the clock of the host's own limits; nil is time.Now. Guests never see it.
	Now func() time.Time
}

const (
	defaultFuel      = 50_000_000
	defaultMemory    = 64 << 20
	defaultInstances = 64
	defaultModule    = 32 << 20
	// loadFuel is the budget of each step of making an instance: the start function,
	// _initialize, wg_scratch and wg_configure. A Go runtime with its packages takes 2 to
	// 20 million.
	loadFuel = 500_000_000
)

// StackBytes is the native stack of one call, as estimated by package fuel.
const StackBytes = 8 << 20

func (o Options) withDefaults() Options {
	if o.Fuel == 0 {
		o.Fuel = defaultFuel
	}
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	if o.Instances <= 0 {
		o.Instances = defaultInstances
	}
	if o.MaxModuleBytes <= 0 {
		o.MaxModuleBytes = defaultModule
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Powers = o.Powers.withKV(o.Now)
	return o
}

func (p Powers) withKV(now func() time.Time) Powers {
	if p.KV == nil {
		p.KV = NewKV(now)
	}
	return p
}

// Powers are what the host lends to capabilities. A nil power answers unavailable, but a
// nil KV is one in memory. All must be safe for concurrent use and end when the context
// does. Grants are checked before they are asked.
type Powers struct {
	HTTP HTTP
	KV   KV
	// Secrets looks a secret up by name; false is none.
	Secrets func(name string) ([]byte, bool)
	JWKS    JWKS
	// Line gets the guest's lines, cut and valid UTF-8, instead of the log; nil is the log.
	Line func(level slog.Level, line string)
}

// HTTP makes outbound calls.
type HTTP interface {
	// Do makes one call, following no redirect. The context has the call's deadline. An
	// error is the transport's; any status is an answer. The guest reads a [StatusError] as
	// its status, a passed deadline as timeout, and every other error as unavailable.
	Do(ctx context.Context, c Outbound) (Answer, error)
}

// StatusError is an error that the guest reads as that very status.
type StatusError abi.Status

// Error names the status.
func (e StatusError) Error() string { return abi.Status(e).String() }

// Outbound is one call to a host that the policy grants.
type Outbound struct {
	Method, URL string
	// Authority is the Host to send; empty is the URL's.
	Authority string
	Headers   []Header
	Body      []byte
	// Constant says that the operator wrote this very host into the grants, rather than
	// a wildcard: it may be at a private address.
	Constant bool
	// MaxAnswer is the most bytes of head and body that can be used: an answer beyond it
	// is not worth reading.
	MaxAnswer int
}

// Header is one header field.
type Header struct{ Name, Value string }

// Answer is the answer of an outbound call. Names are lower case.
type Answer struct {
	Status  int
	Headers []Header
	Body    []byte
	// Trailers came behind the body.
	Trailers []Header
}

// KV keeps values for plugins, each in a space of its own.
type KV interface {
	// Get gives a value, which nobody changes afterwards; false is none.
	Get(plugin, key string) ([]byte, bool)
	// Set keeps a value, which it may not hold on to; a ttl of 0 is for ever. False says
	// that the plugin's space is full.
	Set(plugin, key string, value []byte, ttl time.Duration) bool
	// Delete removes a value that may be there.
	Delete(plugin, key string)
}

// JWKS verifies signatures by key sets.
type JWKS interface {
	// Verify checks the signature of a compact JWS by the key set at a URL or issuer.
	Verify(ctx context.Context, url string, token []byte) abi.Status
}

func workers() int { return min(runtime.GOMAXPROCS(0), 4) }
