package wasmgate_test

import "regexp"

// ban says who may import a package, and why nobody else. It holds for what is below the
// path too, unless that ends in "$".
type ban struct {
	path    string
	allowed []string // folders, with what is below them
	tests   bool     // holds for tests too
	reason  string
}

var bans = []ban{
	{"github.com/tetratelabs/wazero", []string{"host/internal/guest", "cmd/wasmgate-bench"}, false,
		"the sandbox has one owner; everybody else sees a plugin through an interface"},
	{"github.com/valyala/fasthttp", []string{"cmd/wasmgate-bench"}, false,
		"it is lenient where we are strict; an oracle in tests, a peer in the benchmark"},
	{"golang.org/x/net/http2", nil, false, "HTTP/2 is host/internal/http2's; an oracle and a client in tests"},
	{"net/http", []string{
		"cmd", "examples", "abi/conformance", // clients and upstreams
		"host/internal/control",          // the admin plane
		"host/internal/listen",           // its constants
		"host/internal/tls",              // the ACME client
		"host/internal/problem/generate", // status texts, when generating
		"host/internal/jwks",             // key sets over the network
		"host/internal/source",           // modules over the network
	}, false, "it is on no request's way: 45 us against 12, and its own idea of what is valid"},
	{"net/http/httputil", []string{"cmd/wasmgate-bench/peers"}, false, "its proxy rewrites what was authorized"},
	{"github.com/prometheus", []string{"host/internal/observe", "host/internal/control"}, false,
		"metrics are counted through observe, whose labels are bounded"},
	{"github.com/spf13/viper", []string{"host/internal/config"}, false,
		"it lower-cases keys: for the process file only"},
	{"github.com/spf13/cobra", []string{"cmd"}, false, "the host is no command"},
	{"github.com/caddyserver/certmagic", []string{"host/internal/tls"}, false,
		"certificates have one owner; its defaults are variables of the process"},
	{"github.com/mholt/acmez", []string{"host/internal/tls"}, false, "certificates have one owner"},
	{"aead.dev/minisign", []string{"host/internal/signature"}, true, "what is signed, and how, is judged in one place"},
	{"oras.land/oras-go", []string{"host/internal/source"}, false, "modules come over the network in one place"},
	{"github.com/dgraph-io/ristretto", []string{"host/internal/cache", "host/internal/pipeline"}, false,
		"its Set may be dropped: for caches only"},
	{"go.etcd.io/bbolt", []string{"host/internal/state"}, false, "state is reached through its interfaces"},
	{"github.com/pb33f", []string{"host/internal/openapi", "host/internal/document"}, false,
		"documents become the model in one place"},
	{"github.com/stretchr/testify", nil, false, "for tests"},
	{"github.com/letsencrypt/pebble", []string{"host/internal/tls/tlstest"}, false, "for tests"},
	{"github.com/wasmgate/wasmgate/plugins", []string{"plugins", "cmd/wasmgate"}, true,
		"the host gets the bytes of plugins: a built-in has no privilege"},
	{"github.com/wasmgate/wasmgate/cmd", []string{"cmd"}, true, "nothing stands above the command"},
	{"unsafe", []string{
		"host/internal/socket", "host/internal/http1", "host/internal/http2", "host/internal/pipeline", "host/internal/cache", "host/internal/guest",
		"sdk/go", "cmd/wasmgate-bench/peers",
	}, false, "a string over a buffer that changes is a hole: where it is needed, it is listed here"},
	{"log$", []string{"host/internal/problem/generate", "host/internal/tls/tlstest", "cmd/wasmgate-bench", "plugins/cmd", "abi/v1/gen", "examples"}, false,
		"slog, through a logger that was given"},
	{"math/rand$", []string{}, true, "math/rand/v2, or crypto/rand for what must not be guessed"},
	{"io/ioutil", nil, true, "os and io have it"},
	{"github.com/pkg/errors", nil, true, "errors and %w have it"},
}

// hostLayers are the packages of host; one may import those of the layers above it in
// this list, never of its own or of a later one.
var hostLayers = [][]string{
	{"host/model"},
	{"host/internal/exchange", "host/internal/socket"},
	{"host/internal/problem", "host/internal/document", "host/internal/observe", "host/internal/signature", "host/internal/state"},
	{"host/internal/http1"},
	{"host/internal/http2"},
	{
		"host/internal/audit", "host/internal/cache", "host/internal/config", "host/internal/control", "host/internal/forward",
		"host/internal/guest", "host/internal/jwks", "host/internal/listen", "host/internal/openapi", "host/internal/rollout", "host/internal/route", "host/internal/source",
		"host/internal/throttle", "host/internal/tls",
	},
	{"host/internal/inspect", "host/internal/workbench"}, // a gateway without requests: guest alone
	{"host/internal/recording"},                          // runs on a bench what was recorded
	{"host/internal/pipeline"},                           // sees guest and forward through interfaces that it declares
	{"host"},
}

var nothingNames = []string{
	"util", "utils", "common", "helper", "helpers", "types", "base", "pkg", "manager", "misc", "shared", "lib",
}

// callBan is a call that nobody makes, where it holds.
type callBan struct {
	pattern *regexp.Regexp
	where   place
	reason  string
}

type place int

const (
	everywhere place = iota
	inTests
	inCode
)

var callBans = []callBan{
	{regexp.MustCompile(`^time\.Sleep$`), everywhere, "wait for what must happen, with a timer that a context ends"},
	{regexp.MustCompile(`^[tb]\.(Skip|Skipf|SkipNow)$`), inTests, "a test that may be left out proves nothing: let it fail and say what is missing"},
	{regexp.MustCompile(`^testing\.Short$`), inTests, "there is one set of tests"},
	{regexp.MustCompile(`^context\.TODO$`), everywhere, "take the caller's context"},
	{regexp.MustCompile(`^http\.(DefaultClient|DefaultServeMux|DefaultTransport|Get|Post|Handle|HandleFunc|ListenAndServe)$`), inCode,
		"shared by the process and without time limits"},
	{regexp.MustCompile(`^prometheus\.(DefaultRegisterer|DefaultGatherer|MustRegister|Register)$`), everywhere, "two hosts in one process"},
}

// callExceptions are "file call" with the reason.
var callExceptions = map[string]string{
	"host/internal/cache/concurrent_test.go time.Sleep":                 "turns the clock of a synctest bubble",
	"host/internal/observe/observer_test.go prometheus.DefaultGatherer": "shows that it is not used",
	"cmd/wasmgate-bench/peers/httpwasm/main.go http.DefaultTransport":   "a peer is measured as its users build it",
}

// sizeExceptions are "file" or "file function" with the reason.
var sizeExceptions = map[string]string{}
