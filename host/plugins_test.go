package host_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
)

const (
	scratchAt, scratchSize = 1024, 32 << 10
	harmless               = 2000 // bytes of a record; longer ones meet the evil
)

var hookType = Sig(T(I32), T(I64))

// plugin is a module that goes on with short requests, and runs code on long ones.
func plugin(hook abi.Hook, code ...[]byte) *Module {
	m := &Module{Memories: [][2]int{{1, 65536}}}
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(scratchAt<<32|scratchSize)))
	good := Cat(LocalGet(0), I32Const(harmless), I32LtU, If(Empty, I64Const(0), Return)) // 0 has no opinion
	m.Export(hook.Export(), m.Func(hookType, nil, append([][]byte{good}, code...)...))
	return m
}

// packed is pointer and length as a hook returns them.
func packed(at, length int64) []byte { return I64Const(at<<32 | length) }

// evils are what a guest may do to its host, and what is told of it.
func evils(hook abi.Hook) map[string]struct {
	module *Module
	kind   string
} {
	recursive := plugin(hook)
	recursive = plugin(hook, LocalGet(0), Call(recursive.Next()-1))
	wrong := plugin(hook, packed(256, 16))
	wrong.Data(256, []byte("WGR1\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"))
	return map[string]struct {
		module *Module
		kind   string
	}{
		"loop":     {plugin(hook, Loop(Empty, Br(0)), packed(0, 0)), "fuel"},
		"recurse":  {recursive, "stack"},
		"bomb":     {plugin(hook, Loop(Empty, I32Const(1), MemoryGrow, I32Const(-1), []byte{0x47}, BrIf(0)), Unreachable), "memory"},
		"trap":     {plugin(hook, Unreachable), "trap"},
		"outside":  {plugin(hook, I32Const(-4), I32Load(0), Drop, I64Const(0)), "trap"},
		"wild":     {plugin(hook, packed(0x7fffffff, 0x7fffffff)), "result"},
		"negative": {plugin(hook, I64Const(-1)), "result"},
		"memory":   {plugin(hook, packed(0, 1<<16)), "result"},
		"record":   {wrong, "result"},
	}
}

// Each evil costs its own request, and nobody else notices.
func TestHostileGuests(t *testing.T) {
	u := serve(t, nil)
	content := files{}
	var paths []string
	for _, hook := range []abi.Hook{abi.HookMapRequest, abi.HookGuard} {
		for name, evil := range evils(hook) {
			id := name + "-" + strings.ReplaceAll(hook.String(), "_", "-")
			content["plugins/"+id+".wasm"] = string(evil.module.Bytes())
			for _, onError := range []string{"fail", "deny", "skip"} {
				paths = append(paths, at("/"+id+"/"+onError, "x-wasmgate-policies: [{plugin: "+id+", on_error: "+onError+", fuel: 1000000, memory: 1MiB}]", proxy(u.URL)))
			}
		}
	}
	content["apis/a.yaml"] = document(`x-wasmgate-api: {id: api}`, paths...)
	g := start(t, content)
	long := "X-Long: " + strings.Repeat("x", harmless)
	for _, hook := range []abi.Hook{abi.HookMapRequest, abi.HookGuard} {
		for name, evil := range evils(hook) {
			id := name + "-" + strings.ReplaceAll(hook.String(), "_", "-")
			t.Run(id, func(t *testing.T) {
				began := time.Now()
				for _, c := range []*http.Client{g.h1, g.h2} {
					for onError, status := range map[string]int{"fail": 500, "deny": 403, "skip": 200} {
						url := site + "/" + id + "/" + onError
						a := get(t, c, url, long)
						switch {
						case status == 403, hook == abi.HookGuard && status == 200: // what guards cannot be asked is refused
							isError(t, a, 403, "AccessDeniedException", "User is not authorized to access this resource")
						case status == 500 && hook == abi.HookGuard:
							isError(t, a, 500, "AuthorizerConfigurationException", "Internal server error")
						case status == 500:
							isError(t, a, 500, "InternalServerErrorException", "Internal server error")
						default:
							assert.Equal(t, status, a.StatusCode, a.body)
						}
						assert.Equal(t, 200, get(t, c, url).StatusCode, "the next request")
					}
				}
				assert.Less(t, time.Since(began), 20*time.Second)
				assert.Equal(t, 6.0, g.metric("wasmgate_plugin_traps_total", `plugin="`+id+`"`, `kind="`+evil.kind+`"`), evil.kind)
				assert.Equal(t, 6.0, g.metric("wasmgate_plugin_failures_total", `plugin="`+id+`"`))
			})
		}
	}
}

// Good requests beside hostile ones, all at once, lose nothing.
func TestHostileGuestsBesideOthers(t *testing.T) {
	u := serve(t, nil)
	content := files{}
	var paths []string
	for name, evil := range evils(abi.HookMapRequest) {
		content["plugins/"+name+".wasm"] = string(evil.module.Bytes())
		paths = append(paths, at("/"+name, "x-wasmgate-policies: [{plugin: "+name+", fuel: 1000000, memory: 1MiB}]", proxy(u.URL)))
	}
	content["apis/a.yaml"] = document(`x-wasmgate-api: {id: api}`, paths...)
	g := start(t, content)
	long := "X-Long: " + strings.Repeat("x", harmless)
	var clients sync.WaitGroup
	for name := range evils(abi.HookMapRequest) {
		for i := range 8 {
			clients.Go(func() {
				c := []*http.Client{g.h1, g.h2}[i%2]
				for range 5 {
					if i < 4 {
						assert.Equal(t, 500, get(t, c, site+"/"+name, long).StatusCode, name)
					} else {
						assert.Equal(t, 200, get(t, c, site+"/"+name).StatusCode, name)
					}
				}
			})
		}
	}
	clients.Wait()
	assert.Equal(t, 9*4*5, u.count())
}

// caller is a module that may call HTTP hosts, if it is let.
func caller() *Module {
	m := &Module{Memories: [][2]int{{1, 10}}}
	m.Import("wasmgate.http.v1", "call", Sig(T(I32, I32, I32, I32), T(I64)))
	return withHook(m)
}

func withHook(m *Module) *Module {
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(scratchAt<<32|scratchSize)))
	m.Export(abi.HookMapRequest.Export(), m.Func(hookType, nil, Unreachable))
	return m
}

// A plugin file that cannot be served is refused when it appears, and what serves goes on.
func TestRefusedPlugins(t *testing.T) {
	u := serve(t, nil)
	one := func(policy string) string {
		return document(`x-wasmgate-api: {id: api}`, at("/x", "x-wasmgate-policies: ["+policy+"]", proxy(u.URL)))
	}
	g := start(t, files{"apis/a.yaml": passing(u.URL)})
	stranger := &Module{Memories: [][2]int{{1, 10}}}
	stranger.Import("wasmgate.shell.v1", "exec", Sig(nil, nil))
	misfit := &Module{Memories: [][2]int{{1, 10}}}
	misfit.Import("wasmgate.http.v1", "call", Sig(nil, nil))
	idle := withHook(&Module{Memories: [][2]int{{1, 10}}})
	idle.Export(abi.HookGuard.Export(), 0)
	for name, tt := range map[string]struct {
		content files
		want    []string
	}{
		"no Wasm":            {files{"plugins/x.wasm": "\x7fELF"}, []string{`plugins/x.wasm`}},
		"a cut module":       {files{"plugins/x.wasm": string(caller().Bytes()[:60])}, []string{`plugins/x.wasm`}},
		"an unknown power":   {files{"plugins/x.wasm": string(withHook(stranger).Bytes())}, []string{`plugins/x.wasm`, `"wasmgate.shell.v1"`, `"exec"`}},
		"a power's form":     {files{"plugins/x.wasm": string(withHook(misfit).Bytes())}, []string{`plugins/x.wasm`, `"wasmgate.http.v1"`}},
		"a hook's form":      {files{"plugins/x.wasm": string(idle.Bytes())}, []string{`plugins/x.wasm`, `wg_guard`}},
		"a built-in's place": {files{"plugins/jwt.wasm": string(caller().Bytes())}, []string{"jwt.wasm", "the id of the built-in plugin"}},
		"a name":             {files{"plugins/X Y.wasm": string(caller().Bytes())}, []string{`plugin id "X Y"`}},
		"no grant": {files{"plugins/x.wasm": string(caller().Bytes()), "apis/a.yaml": one("{plugin: x}")},
			[]string{"a.yaml:5:", `"wasmgate.http.v1" "call" needs the grant "http"`}},
		"another grant": {files{"plugins/x.wasm": string(caller().Bytes()), "apis/a.yaml": one("{plugin: x, grants: {kv: [a]}}")},
			[]string{`needs the grant "http"`}},
		"no plugin": {files{"apis/a.yaml": one("{plugin: nope}")}, []string{"a.yaml:5:", `"nope"`, "api-key, cache, cors"}},
		"a config":  {files{"apis/a.yaml": one("{plugin: rate-limit, config: {rate: fast}}")}, []string{"a.yaml:5:", "policy rate-limit", "rate"}},
		"no memory": {files{"plugins/x.wasm": string(caller().Bytes()), "apis/a.yaml": one("{plugin: jwt, memory: 64KiB, config: {issuer: \"https://a.example\"}, grants: {jwks: [\"https://a.example\"]}}")},
			[]string{"policy jwt", "memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			reason := g.refused(tt.content)
			for _, want := range tt.want {
				assert.Contains(t, reason, want)
			}
			assert.Equal(t, reason, g.status().LastReload.Error)
			assert.Equal(t, "GET /still", get(t, g.h1, site+"/still").body, "the old snapshot")
			for name := range tt.content {
				tt.content[name] = ""
			}
			if _, ok := tt.content["apis/a.yaml"]; ok {
				tt.content["apis/a.yaml"] = passing(u.URL)
			}
			g.update(tt.content)
		})
	}
	g.update(files{"plugins/x.wasm": string(caller().Bytes()), "apis/a.yaml": one("{plugin: x, on_error: skip, grants: {http: [api.example]}}")})
	assert.Equal(t, "GET /", get(t, g.h1, site+"/x").body, "with the grant it is served; its trap is skipped")
}

func TestHugePlugin(t *testing.T) {
	g := start(t, files{"apis/a.yaml": passing("http://127.0.0.1:1")})
	staged := filepath.Join(t.TempDir(), "huge")
	require.NoError(t, os.WriteFile(staged, []byte("\x00asm\x01\x00\x00\x00"), 0o600))
	require.NoError(t, os.Truncate(staged, 100<<20))
	require.NoError(t, os.Rename(staged, filepath.Join(g.dir, "plugins", "huge.wasm")))
	began := time.Now()
	err := g.Reload(t.Context())
	assert.ErrorContains(t, err, "104857600 bytes, want at most 33554432 (plugins.module_bytes)")
	assert.Less(t, time.Since(began), 5*time.Second)
}

// Policies run from the outside to the inside: gateway, API, path, operation.
func TestPolicyOrder(t *testing.T) {
	u := serve(t, nil)
	add := func(v string) string {
		return policies(policy("transform", "{request: {headers: {add: {x-order: "+v+"}}}}"))
	}
	g := start(t, files{
		"apis/_gateway.yaml": add("gateway"),
		"apis/a.yaml": document("x-wasmgate-api: {id: api}\n"+add("api"),
			"/x: {"+add("path")+", get: {"+add("operation")+", "+proxy(u.URL)+"}, post: {"+proxy(u.URL)+"}}"),
		"apis/b.yaml": document("x-wasmgate-api: {id: b}", at("/x", proxy(u.URL))),
	})
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, tt := range []struct{ method, url, want string }{
			{"GET", site + "/x", "gateway api path operation"}, {"POST", site + "/x", "gateway api path"},
			{"GET", "https://b.execute-api.localhost/x", "gateway"},
		} {
			require.Equal(t, 200, send(t, c, tt.method, tt.url, "").StatusCode)
			assert.Equal(t, tt.want, strings.Join(u.last(t).header["X-Order"], " "))
		}
	})
}

// validate tells every problem of all files at once, each with its place.
func TestValidate(t *testing.T) {
	dir := t.TempDir()
	options := prepare(t, dir, files{
		"apis/_gateway.yaml": "x-wasmgate-policies: [{plugin: cors, config: {allow_origins: [nonsense]}}]\nx-other: 1",
		"apis/a.yaml": document("x-wasmgate-api: {id: A!}\ncomponents: {securitySchemes: {open: {type: http, scheme: bearer}, oidc: {type: openIdConnect, openIdConnectUrl: \"https://a.example\"}}}",
			at("/x", "security: [{open: []}, {oidc: []}, {nothing: []}]", `x-amazon-apigateway-integration: {type: aws_proxy, uri: "arn:aws:lambda"}`),
			at("/y/{p}", `x-amazon-apigateway-integration: {type: http_proxy, uri: "http://{p}.example/"}`),
			"/x/: {get: {"+proxy("http://a.example")+"}, gett: {}}"),
		"apis/b.yaml":         document("x-wasmgate-api: {id: b}\nx-amazon-apigateway-policy: {}", at("/x", policies("{plugin: ip-rules, config: {deny: [300.1.1.1]}, on_eror: skip}"), proxy("http://a.example"))),
		"plugins/broken.wasm": "no Wasm",
	})
	_, err := host.Validate(t.Context(), options)
	var problems *host.ConfigErrors
	require.True(t, errors.As(err, &problems), "%v", err)
	var list []struct {
		File, Path, Got, Want string
		Line, Column          int
	}
	require.NoError(t, json.Unmarshal(problems.JSON(), &list))
	lines := strings.Split(strings.TrimSpace(problems.Error()), "\n")
	assert.Len(t, list, len(lines))
	for _, p := range list {
		assert.FileExists(t, p.File)
	}
	for _, want := range []string{
		"_gateway.yaml:2:1", "a.yaml:3:22", "a security scheme that nothing checks", "a security scheme that is not there",
		"http_proxy, http or mock", "a path variable in the host", "gett", "b.yaml:4:1: x-amazon-apigateway-policy", "on_eror", "broken.wasm",
	} {
		assert.Contains(t, problems.Error(), want)
	}
	assert.GreaterOrEqual(t, strings.Count(problems.Error(), "nothing checks"), 2)
	good := prepare(t, t.TempDir(), files{"apis/a.yaml": passing("http://a.example"), "apis/b.yaml": document("x-wasmgate-api: {id: b}\nx-amazon-apigateway-minimum-compression-size: 0",
		at("/x", policies(policy("rate-limit", "{rate: 1}")), proxy("http://a.example")))})
	report, err := host.Validate(t.Context(), good)
	require.NoError(t, err)
	assert.Equal(t, "2 2 2", fmt.Sprint(report.APIs, report.Routes, report.Policies))
	assert.Contains(t, strings.Join(report.Warnings, "\n"), "b.yaml:4:1: x-amazon-apigateway-minimum-compression-size")
}
