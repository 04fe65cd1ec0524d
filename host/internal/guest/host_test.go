package guest_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
	"github.com/wasmgate/wasmgate/host/model"
)

// caller is a guest that makes one host call with constant arguments and returns what it
// answered, and what stands at outAt, as a record's reason.
const outAt, outSize, dataAt = 16384, 1024, 8192

type hostCall struct {
	module, name string
	data         string // at dataAt
	args         []int64
}

// wasm is a guest whose hook makes the call: its result is the answer and the output area
// behind it, read raw.
func (c hostCall) wasm() []byte {
	m := &Module{Memories: [][2]int{{1, 1}}}
	p, _ := abi.CapabilityOf(c.module, c.name)
	types := func(names []string) (out []byte) {
		for _, n := range names {
			out = append(out, map[string]byte{"i32": I32, "i64": I64}[n])
		}
		return out
	}
	params, results := types(p.Params()), types(p.Results())
	if c.module == "wasi_snapshot_preview1" {
		params, results = bytes.Repeat([]byte{I32}, len(c.args)), T(I32)
		if c.name == "clock_time_get" {
			params[1] = I64
		}
	}
	f := m.Import(c.module, c.name, Sig(params, results))
	contract(m)
	code := I32Const(outAt - 8)
	for i, a := range c.args {
		if params[i] == I64 {
			code = Cat(code, I64Const(a))
		} else {
			code = Cat(code, I32Const(int64(int32(a))))
		}
	}
	code = Cat(code, Call(f))
	switch {
	case len(results) == 0:
		code = Cat(code, I64Const(0))
	case results[0] == I32:
		code = Cat(code, []byte{0xac}) // i64.extend_i32_s
	}
	m.Data(dataAt, []byte(c.data))
	m.Export(hook.Export(), m.Func(hookType, nil, code, I64Store(0), packed(outAt-8, outSize+8)))
	return m.Bytes()
}

// raw takes what the guest returned without reading it as a record.
type raw struct {
	ask
	status int64
	out    []byte
}

func (r *raw) Decode(b []byte) error {
	if len(b) >= 8 {
		r.status, r.out = int64(binary.LittleEndian.Uint64(b)), bytes.Clone(b[8:])
	}
	return nil
}

func (c hostCall) run(t *testing.T, o guest.Options, g model.Grants) *raw {
	t.Helper()
	p := bind(t, newEngine(t, o), c.wasm(), guest.Binding{Grants: g})
	r := &raw{ask: ask{hook: hook, time: 1_700_000_000_123, seed: 99}}
	_, err := p.Call(context.Background(), hook, r)
	require.NoError(t, err)
	return r
}

func TestKeyValueStore(t *testing.T) {
	now := time.Unix(1000, 0)
	kv := guest.NewKV(func() time.Time { return now })
	o := guest.Options{Powers: guest.Powers{KV: kv}}
	g := model.Grants{KV: []string{"user/"}}
	get := func(key string, room int64) *raw {
		return hostCall{"wasmgate.kv.v1", "get", key, []int64{dataAt, int64(len(key)), outAt, room}}.run(t, o, g)
	}
	set := func(key, value string, ttl int64) int64 {
		return hostCall{"wasmgate.kv.v1", "set", key + value, []int64{dataAt, int64(len(key)), int64(dataAt + len(key)), int64(len(value)), ttl}}.run(t, o, g).status
	}
	require.EqualValues(t, abi.StatusNotFound, get("user/a", 10).status)
	require.EqualValues(t, abi.StatusOK, set("user/a", "hello", 5000))
	r := get("user/a", 10)
	require.EqualValues(t, 5, r.status)
	require.Equal(t, "hello\x00", string(r.out[:6]))
	r = get("user/a", 4)
	require.EqualValues(t, 5, r.status, "the length is told")
	require.Equal(t, make([]byte, 5), r.out[:5], "and nothing written")
	require.EqualValues(t, abi.StatusNotGranted, get("other/a", 10).status)
	require.EqualValues(t, abi.StatusNotGranted, set("use", "x", 0))
	require.EqualValues(t, abi.StatusBadArgument, get("", 10).status)
	require.EqualValues(t, abi.StatusBadArgument, get("user/"+strings.Repeat("a", 300), 10).status)
	require.EqualValues(t, abi.StatusBadArgument, get("user/a", 1<<31).status)
	require.EqualValues(t, abi.StatusBadArgument, set("user/a", "x", -1))
	now = now.Add(5 * time.Second)
	require.EqualValues(t, abi.StatusNotFound, get("user/a", 10).status, "it ended")
	require.EqualValues(t, abi.StatusOK, set("user/b", "x", 0))
	del := hostCall{"wasmgate.kv.v1", "delete", "user/b", []int64{dataAt, 6}}
	require.EqualValues(t, abi.StatusOK, del.run(t, o, g).status)
	require.EqualValues(t, abi.StatusOK, del.run(t, o, g).status, "what is absent")
	require.EqualValues(t, abi.StatusNotFound, get("user/b", 10).status)
}

func TestKeyValueSpaces(t *testing.T) {
	now := time.Unix(1000, 0)
	kv := guest.NewKV(func() time.Time { return now })
	full := 0
	for kv.Set("p", fmt.Sprint(full), make([]byte, 64<<10), time.Minute) {
		full++
	}
	require.InDelta(t, 255, full, 1)
	require.True(t, kv.Set("p", "0", make([]byte, 64<<10), time.Minute), "in the place of its own old value")
	require.True(t, kv.Set("q", "0", []byte("x"), 0), "another plugin's space")
	now = now.Add(time.Minute)
	require.True(t, kv.Set("p", "new", []byte("x"), time.Minute), "what ended makes room")
	_, ok := kv.Get("p", "1")
	require.False(t, ok)
	v, ok := kv.Get("q", "0")
	require.True(t, ok)
	require.Equal(t, "x", string(v))
	_, ok = kv.Get("none", "0")
	require.False(t, ok)
	kv.Delete("none", "0")
}

func TestSecrets(t *testing.T) {
	o := guest.Options{Powers: guest.Powers{Secrets: func(name string) ([]byte, bool) { return []byte("s3cret"), name == "mine" || name == "other" }}}
	g := model.Grants{Secrets: []string{"mine", "gone"}}
	get := func(name string) *raw {
		return hostCall{"wasmgate.secret.v1", "get", name, []int64{dataAt, int64(len(name)), outAt, 100}}.run(t, o, g)
	}
	r := get("mine")
	require.EqualValues(t, 6, r.status)
	require.Equal(t, "s3cret", string(r.out[:6]))
	require.EqualValues(t, abi.StatusNotGranted, get("other").status)
	require.EqualValues(t, abi.StatusNotFound, get("gone").status)
	r = hostCall{"wasmgate.crypto.v1", "hmac_sha256", "minedata", []int64{dataAt, 4, dataAt + 4, 4, outAt}}.run(t, o, g)
	require.EqualValues(t, abi.StatusOK, r.status)
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write([]byte("data"))
	require.Equal(t, mac.Sum(nil), r.out[:32])
	r = hostCall{"wasmgate.crypto.v1", "hmac_sha256", "minedata", []int64{dataAt, 4, dataAt + 4, 4, 65536 - 31}}.run(t, o, g)
	require.EqualValues(t, abi.StatusBadArgument, r.status)
	r = hostCall{"wasmgate.crypto.v1", "sha256", "data", []int64{dataAt, 4, outAt}}.run(t, o, model.Grants{})
	sum := sha256.Sum256([]byte("data"))
	require.Equal(t, sum[:], r.out[:32])
	r = hostCall{"wasmgate.secret.v1", "get", "mine", []int64{dataAt, 4, outAt, 100}}.run(t, guest.Options{}, g)
	require.EqualValues(t, abi.StatusUnavailable, r.status)
}

type verifier func(ctx context.Context, url string, token []byte) abi.Status

func (v verifier) Verify(ctx context.Context, url string, token []byte) abi.Status {
	return v(ctx, url, token)
}

func TestKeySets(t *testing.T) {
	o := guest.Options{Powers: guest.Powers{JWKS: verifier(func(_ context.Context, url string, token []byte) abi.Status {
		if url == "https://i" && string(token) == "token" {
			return abi.StatusOK
		}
		return abi.StatusInvalid
	})}}
	g := model.Grants{JWKS: []string{"https://i"}}
	verify := func(data string, url, token int64) int64 {
		return hostCall{"wasmgate.jwks.v1", "verify", data, []int64{dataAt, url, dataAt + url, token}}.run(t, o, g).status
	}
	require.EqualValues(t, abi.StatusOK, verify("https://itoken", 9, 5))
	require.EqualValues(t, abi.StatusInvalid, verify("https://itokem", 9, 5))
	require.EqualValues(t, abi.StatusNotGranted, verify("https://jtoken", 9, 5))
	require.EqualValues(t, abi.StatusInvalid, verify("https://i", 9, 9000), "too long to be looked at")
	require.EqualValues(t, abi.StatusBadArgument, verify("https://i", 9, 1<<30))
}

type transport func(ctx context.Context, c guest.Outbound) (guest.Answer, error)

func (f transport) Do(ctx context.Context, c guest.Outbound) (guest.Answer, error) { return f(ctx, c) }

func TestOutboundCalls(t *testing.T) {
	var seen guest.Outbound
	o := guest.Options{Powers: guest.Powers{HTTP: transport(func(ctx context.Context, c guest.Outbound) (guest.Answer, error) {
		seen = c
		if strings.HasSuffix(c.URL, "/slow") {
			<-ctx.Done()
			return guest.Answer{}, ctx.Err()
		}
		if strings.HasSuffix(c.URL, "/down") {
			return guest.Answer{}, os.ErrNotExist
		}
		return guest.Answer{Status: 201, Headers: []guest.Header{{Name: "a", Value: "b"}}, Body: []byte("body")}, nil
	})}}
	g := model.Grants{HTTP: []string{"api.example", "http://plain.example:8080", "*.wild.example", "port.example:444"}}
	call := func(url string, header ...string) (*raw, guest.Outbound) {
		var w abi.Writer[abi.ResultField]
		record := make([]byte, 2048)
		w.Start(record, 0, 5)
		w.String(abi.ResultHTTPMethod, "POST")
		w.String(abi.ResultHTTPURL, url)
		w.BeginPairs(abi.ResultHTTPHeaders)
		for i := 0; i+1 < len(header); i += 2 {
			w.PairStrings(header[i], header[i+1])
		}
		w.EndPairs()
		w.String(abi.ResultHTTPBody, "hello")
		w.Uint(abi.ResultHTTPTimeoutMS, 20)
		n, err := w.Finish()
		require.NoError(t, err)
		seen = guest.Outbound{}
		return hostCall{"wasmgate.http.v1", "call", string(record[:n]), []int64{dataAt, int64(n), outAt, outSize}}.run(t, o, g), seen
	}
	r, c := call("https://api.example/x?y=1", "x-a", "1")
	require.Equal(t, guest.Outbound{Method: "POST", URL: "https://api.example/x?y=1", Headers: []guest.Header{{Name: "x-a", Value: "1"}},
		Body: []byte("hello"), Constant: true, MaxAnswer: outSize}, c)
	a, err := abi.ParseRequest(r.out[:r.status])
	require.NoError(t, err)
	status, _ := a.Uint(abi.FieldHTTPStatus)
	require.EqualValues(t, 201, status)
	require.Equal(t, "body", string(a.Bytes(abi.FieldHTTPBody)))
	for url, want := range map[string]abi.Status{
		"https://api.example/slow":       abi.StatusTimeout,
		"https://api.example/down":       abi.StatusUnavailable,
		"https://API.example:443/":       0,
		"http://plain.example:8080/":     0,
		"https://a.wild.example/":        0,
		"https://port.example:444/":      0,
		"http://api.example/":            abi.StatusNotGranted,
		"https://plain.example:8080/":    abi.StatusNotGranted,
		"http://plain.example/":          abi.StatusNotGranted,
		"https://wild.example/":          abi.StatusNotGranted,
		"https://evilwild.example/":      abi.StatusNotGranted,
		"https://api.example.evil/":      abi.StatusNotGranted,
		"https://api.example@evil/":      abi.StatusNotGranted,
		"https://api.example:444/":       abi.StatusNotGranted,
		"https://127.0.0.1/":             abi.StatusNotGranted,
		"https://evil\\.wild.example/":   abi.StatusBadArgument,
		"https://evil/.wild.example":     abi.StatusNotGranted,
		"https://evil%2f.wild.example/":  abi.StatusBadArgument,
		"https://evil\u2024wild.example": abi.StatusNotGranted,
		"ftp://api.example/":             abi.StatusBadArgument,
		"//api.example/":                 abi.StatusBadArgument,
		"":                               abi.StatusBadArgument,
	} {
		r, c := call(url)
		if want == 0 {
			require.Positive(t, r.status, url)
			require.Equal(t, url != "https://a.wild.example/", c.Constant, url)
			continue
		}
		require.EqualValues(t, want, r.status, url)
	}
	for _, h := range [][]string{{"a b", "1"}, {"", "1"}, {"a", "1\r\nb: 2"}, {"a", "\x00"}, {"a\n", "1"}} {
		r, _ := call("https://api.example/", h...)
		require.EqualValues(t, abi.StatusBadArgument, r.status, "%q", h)
	}
}

// logLines reads what a JSON logger wrote.
func logLines(t *testing.T, b *bytes.Buffer) (out []map[string]any) {
	for line := range strings.Lines(b.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		out = append(out, m)
	}
	return out
}

func TestLog(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(1000, 0)
	o := guest.Options{Logger: slog.New(slog.NewJSONHandler(&b, nil)), Now: func() time.Time { return now }}
	text := strings.Repeat("x", 2000)
	p := bind(t, newEngine(t, o), hostCall{"wasmgate.log.v1", "write", text, []int64{2, dataAt, 2000}}.wasm(), guest.Binding{})
	for range 150 {
		_, err := p.Call(context.Background(), hook, &raw{ask: ask{hook: hook}})
		require.NoError(t, err)
	}
	require.Len(t, logLines(t, &b), 100)
	require.Equal(t, "WARN", logLines(t, &b)[0]["level"])
	require.Len(t, logLines(t, &b)[0]["msg"], 1024)
	now = now.Add(time.Second)
	b.Reset()
	_, err := p.Call(context.Background(), hook, &raw{ask: ask{hook: hook}})
	require.NoError(t, err)
	lines := logLines(t, &b)
	require.Len(t, lines, 2)
	require.EqualValues(t, 50, lines[0]["dropped"])
	wild := bind(t, newEngine(t, o), hostCall{"wasmgate.log.v1", "write", text, []int64{2, -1, 2000}}.wasm(), guest.Binding{})
	b.Reset()
	_, err = wild.Call(context.Background(), hook, &raw{ask: ask{hook: hook}})
	require.NoError(t, err)
	require.Empty(t, b.String(), "there is no status to tell it by")
}

func TestWASI(t *testing.T) {
	w := func(name, data string, args ...int64) *raw {
		return hostCall{"wasi_snapshot_preview1", name, data, args}.run(t, guest.Options{}, model.Grants{})
	}
	r := w("clock_time_get", "", 0, 1, outAt)
	require.EqualValues(t, 1_700_000_000_123_000_000, binary.LittleEndian.Uint64(r.out))
	require.Equal(t, r.out, w("clock_time_get", "", 1, 1, outAt).out)
	require.EqualValues(t, 28, w("clock_time_get", "", 9, 1, outAt).status)
	require.EqualValues(t, 21, w("clock_time_get", "", 0, 1, 65530).status)
	r = w("random_get", "", outAt, 32)
	require.NotEqual(t, make([]byte, 32), r.out[:32])
	require.Equal(t, r.out, w("random_get", "", outAt, 32).out, "the same seed")
	require.EqualValues(t, 21, w("random_get", "", outAt, 1<<30).status)
	require.EqualValues(t, 8, w("fd_prestat_get", "", 3, outAt).status)
	require.EqualValues(t, 8, w("fd_write", "", 3, dataAt, 1, outAt).status)
	require.EqualValues(t, 21, w("fd_write", "\xff\xff\xff\xff\x01\x00\x00\x00", 1, dataAt, 1, outAt).status)
	require.EqualValues(t, 28, w("fd_write", "", 1, dataAt, 1<<29, outAt).status)
	require.EqualValues(t, 28, w("poll_oneoff", "", dataAt, outAt, 1<<29, outAt).status)
	require.EqualValues(t, 0, w("environ_sizes_get", "", outAt, outAt+4).status)
	require.EqualValues(t, 0, w("fd_read", "", 0, dataAt, 1, outAt).status)
	require.EqualValues(t, 8, w("fd_fdstat_get", "", 7, outAt).status)
	r = w("fd_fdstat_get", "", 1, outAt)
	require.EqualValues(t, 2, r.out[0])
	sub := make([]byte, 48)
	sub[0] = 42
	binary.LittleEndian.PutUint64(sub[24:], 3_600_000_000_000) // an hour
	began := time.Now()
	r = w("poll_oneoff", string(sub), dataAt, outAt, 1, outAt+64)
	require.Less(t, time.Since(began), time.Minute, "nobody sleeps")
	require.EqualValues(t, 42, r.out[0])
	require.EqualValues(t, 1, r.out[64])
	_, err := bind(t, newEngine(t, guest.Options{}), hostCall{"wasi_snapshot_preview1", "proc_raise", "", []int64{3}}.wasm(), guest.Binding{}).
		Call(context.Background(), hook, &raw{ask: ask{hook: hook}})
	require.ErrorContains(t, err, "ended itself")
}

func TestDeterminism(t *testing.T) {
	p := bind(t, newEngine(t, guest.Options{}), hostCall{"wasi_snapshot_preview1", "random_get", "", []int64{outAt, 100}}.wasm(), guest.Binding{})
	first := &raw{ask: ask{hook: hook, time: 7, seed: 8}}
	used, err := p.Call(context.Background(), hook, first)
	require.NoError(t, err)
	for range 3 {
		again := &raw{ask: ask{hook: hook, time: 7, seed: 8}}
		usedAgain, err := p.Call(context.Background(), hook, again)
		require.NoError(t, err)
		require.Equal(t, first.out, again.out)
		require.Equal(t, used, usedAgain)
	}
	other := &raw{ask: ask{hook: hook, time: 7, seed: 9}}
	_, err = p.Call(context.Background(), hook, other)
	require.NoError(t, err)
	require.NotEqual(t, first.out, other.out)
}
