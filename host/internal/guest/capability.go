package guest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

// hostState is what the host functions know of a policy.
type hostState struct {
	powers Powers
	grants grants
	plugin string
	log    *slog.Logger
	now    func() time.Time
	lines  lineLimit
}

// What host functions cost beyond the instruction that calls them, about by their time.
const (
	crossingFuel = 100
	verifyFuel   = 100_000
	hashShift    = 0 // one unit a byte
)

// function is a host function: words hold the parameters, and the result in place 0.
type function func(in *instance, words []uint64)

// capabilities are the functions behind the imports, by module and name.
func capabilities() map[string]function {
	return map[string]function{
		"wasmgate.log.v1 write":          logWrite,
		"wasmgate.http.v1 call":          httpCall,
		"wasmgate.kv.v1 get":             kvGet,
		"wasmgate.kv.v1 set":             kvSet,
		"wasmgate.kv.v1 delete":          kvDelete,
		"wasmgate.secret.v1 get":         secretGet,
		"wasmgate.crypto.v1 sha256":      cryptoSHA256,
		"wasmgate.crypto.v1 hmac_sha256": cryptoHMAC,
		"wasmgate.jwks.v1 verify":        jwksVerify,
	}
}

// addHostModules makes the import modules that all instances share. What a function works
// on is found through the context of the call.
func (e *Engine) addHostModules(ctx context.Context) error {
	builders := map[string]wazero.HostModuleBuilder{}
	add := func(module, name string, f function, params, results []api.ValueType) {
		b := builders[module]
		if b == nil {
			b = e.runtime.NewHostModuleBuilder(module)
			builders[module] = b
		}
		b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(ctx context.Context, words []uint64) {
			in := ctx.(*hostContext).in
			in.charge(crossingFuel)
			f(in, words)
		}), params, results).Export(name)
	}
	functions := capabilities()
	for c := range abi.Capabilities() {
		f := functions[c.String()]
		if f == nil {
			return fmt.Errorf("capability %q has no function", c)
		}
		add(c.Module(), c.Name(), f, valueTypes(c.Params()), valueTypes(c.Results()))
	}
	for _, module := range wasiModules {
		for name, s := range e.shims {
			add(module, name, s.call, s.params(), s.results())
		}
	}
	for _, a := range e.options.ABIs {
		b := e.runtime.NewHostModuleBuilder(a.Module)
		builders[a.Module] = b
		for name, f := range a.Functions {
			b.NewFunctionBuilder().WithGoFunction(foreignFunction(f), f.params(), f.results()).Export(name)
		}
	}
	for _, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

func valueTypes(names []string) []api.ValueType {
	out := make([]api.ValueType, len(names))
	for i, n := range names {
		out[i] = api.ValueTypeI32
		if n == "i64" {
			out[i] = api.ValueTypeI64
		}
	}
	return out
}

// charge takes fuel for what the host does; below zero the guest traps.
func (in *instance) charge(units int64) {
	left := int64(in.fuel.Get()) - units
	in.fuel.Set(uint64(left))
	if left < 0 {
		panic(errNoFuel)
	}
}

// bytes are length bytes of the guest's memory at a pointer; false when they are not all
// inside. They are the guest's: whoever keeps them copies.
func (in *instance) bytes(at, length uint64) ([]byte, bool) {
	return in.mem.Read(uint32(at), uint32(length))
}

// answer writes a value into the guest's room when it fits, and says its length.
func (in *instance) answer(words []uint64, value []byte, out []byte) {
	if len(value) <= len(out) {
		copy(out, value)
	}
	in.charge(int64(len(value) >> 3))
	words[0] = uint64(len(value))
}

func status64(words []uint64, s abi.Status) { words[0] = uint64(int64(s)) }
func status32(words []uint64, s abi.Status) { words[0] = uint64(uint32(s)) }

func logWrite(in *instance, words []uint64) {
	line, ok := in.bytes(words[1], words[2])
	if !ok {
		return // a pointer out of memory is no trap, and there is no status to tell it by
	}
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	in.charge(int64(min(len(line), maxLine)))
	in.line(levels[min(uint32(words[0]), 3)], line)
}

func kvGet(in *instance, words []uint64) {
	key, status := in.key(words[0], words[1])
	out, ok := in.bytes(words[2], words[3])
	if status == abi.StatusOK && !ok {
		status = abi.StatusBadArgument
	}
	if status != abi.StatusOK {
		status64(words, status)
		return
	}
	value, ok := in.powers.KV.Get(in.p.host.plugin, key)
	if !ok {
		status64(words, abi.StatusNotFound)
		return
	}
	in.answer(words, value, out)
}

func kvSet(in *instance, words []uint64) {
	key, status := in.key(words[0], words[1])
	value, ok := in.bytes(words[2], words[3])
	ttl := words[4]
	switch {
	case status != abi.StatusOK:
	case !ok || ttl > uint64(maxTTL/time.Millisecond):
		status = abi.StatusBadArgument
	case len(value) > abi.MaxValueBytes:
		status = abi.StatusLimit
	default:
		in.charge(int64(len(value) >> 3))
		if !in.powers.KV.Set(in.p.host.plugin, key, value, time.Duration(ttl)*time.Millisecond) {
			status = abi.StatusLimit
		}
	}
	status32(words, status)
}

func kvDelete(in *instance, words []uint64) {
	key, status := in.key(words[0], words[1])
	if status == abi.StatusOK {
		in.powers.KV.Delete(in.p.host.plugin, key)
	}
	status32(words, status)
}

// maxTTL is what the contract calls until the host ends and still a time.Duration.
const maxTTL = 100 * 365 * 24 * time.Hour

// key reads a key of the store, which must begin with a granted prefix.
func (in *instance) key(at, length uint64) (string, abi.Status) {
	b, ok := in.bytes(at, length)
	switch {
	case !ok || len(b) == 0 || len(b) > abi.MaxKeyBytes:
		return "", abi.StatusBadArgument
	case !in.p.host.grants.key(b):
		return "", abi.StatusNotGranted
	}
	return string(b), abi.StatusOK
}

func secretGet(in *instance, words []uint64) {
	out, ok := in.bytes(words[2], words[3])
	secret, status := in.secret(words[0], words[1])
	if !ok {
		status = abi.StatusBadArgument
	}
	if status != abi.StatusOK {
		status64(words, status)
		return
	}
	in.answer(words, secret, out)
}

// secret looks a granted secret up by its name in the guest's memory.
func (in *instance) secret(at, length uint64) ([]byte, abi.Status) {
	name, ok := in.bytes(at, length)
	switch {
	case !ok || len(name) > abi.MaxKeyBytes:
		return nil, abi.StatusBadArgument
	case !in.p.host.grants.secret(name):
		return nil, abi.StatusNotGranted
	case in.powers.Secrets == nil:
		return nil, abi.StatusUnavailable
	}
	secret, ok := in.powers.Secrets(string(name))
	if !ok {
		return nil, abi.StatusNotFound
	}
	return secret, abi.StatusOK
}

func cryptoSHA256(in *instance, words []uint64) {
	data, ok := in.bytes(words[0], words[1])
	out, room := in.bytes(words[2], sha256.Size)
	if !ok || !room {
		status32(words, abi.StatusBadArgument)
		return
	}
	in.charge(int64(len(data) >> hashShift))
	sum := sha256.Sum256(data)
	copy(out, sum[:])
	status32(words, abi.StatusOK)
}

func cryptoHMAC(in *instance, words []uint64) {
	data, ok := in.bytes(words[2], words[3])
	out, room := in.bytes(words[4], sha256.Size)
	secret, status := in.secret(words[0], words[1])
	if !ok || !room {
		status = abi.StatusBadArgument
	}
	if status == abi.StatusOK {
		in.charge(int64(len(data) >> hashShift))
		mac := hmac.New(sha256.New, secret)
		mac.Write(data)
		mac.Sum(out[:0])
	}
	status32(words, status)
}

func jwksVerify(in *instance, words []uint64) {
	url, ok := in.bytes(words[0], words[1])
	token, all := in.bytes(words[2], words[3])
	status := abi.StatusOK
	switch {
	case !ok || !all || len(url) > abi.MaxURLBytes:
		status = abi.StatusBadArgument
	case len(token) > abi.MaxTokenBytes:
		status = abi.StatusInvalid
	case !in.p.host.grants.keySet(url):
		status = abi.StatusNotGranted
	case in.powers.JWKS == nil:
		status = abi.StatusUnavailable
	default:
		in.charge(verifyFuel)
		// The token is copied: the guest's memory must not be held by who may wait.
		status = in.powers.JWKS.Verify(in.ctx.Context, string(url), []byte(string(token)))
	}
	status32(words, status)
}

// maxLine is the longest line that reaches the log; more is cut.
const maxLine = abi.MaxLogBytes

// maxLines is how many lines of one policy reach the log in a second.
const maxLines = 100

// line gives a line of the guest's to who wants it, or logs it.
func (in *instance) line(level slog.Level, line []byte) {
	if to := in.powers.Line; to != nil {
		to(level, strings.ToValidUTF8(string(line[:min(len(line), maxLine)]), "\uFFFD"))
		return
	}
	in.p.host.line(level, line)
}

// line logs a line of the guest's.
func (h *hostState) line(level slog.Level, line []byte) {
	pass, dropped := h.lines.take(h.now())
	if dropped > 0 {
		h.log.Warn("plugin logs too much", "dropped", dropped)
	}
	if pass {
		h.log.Log(context.Background(), level, strings.ToValidUTF8(string(line[:min(len(line), maxLine)]), "\uFFFD"), "source", "plugin")
	}
}
