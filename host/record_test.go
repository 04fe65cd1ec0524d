package host_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host"
)

func (g *gateway) recordings(plugin string) string {
	return filepath.Join(g.dir, "data", "recordings", plugin)
}

// recorded waits until so many recordings are written, and reads those of a plugin.
func (g *gateway) recorded(t *testing.T, plugin string, written int) (cases []*casefile.Case) {
	t.Helper()
	await(t, fmt.Sprintf("%d recordings of %s", written, plugin), func() bool {
		return g.metric("wasmgate_recordings_total", `plugin="`+plugin+`"`) >= float64(written)
	})
	assert.EqualValues(t, written, g.metric("wasmgate_recordings_total", `plugin="`+plugin+`"`, `outcome="written"`), g.log)
	files, err := filepath.Glob(g.recordings(plugin) + "/*.json")
	require.NoError(t, err)
	for _, file := range files {
		list, err := casefile.Load(file)
		require.NoError(t, err)
		cases = append(cases, list...)
	}
	return cases
}

// recordedPolicy is a policy that is recorded.
func recordedPolicy(plugin, how, more string) string {
	return "{plugin: " + plugin + ", record: " + how + ", " + more + "}"
}

var talker = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "talker")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", filepath.Join(dir, "talker.wasm"), ".")
	cmd.Dir = "testdata/recorded"
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build plugin: %w: %s", err, text)
	}
	wasm, err := os.ReadFile(filepath.Join(dir, "talker.wasm"))
	if err != nil {
		return "", err
	}
	manifest, err := os.ReadFile("testdata/recorded/manifest.json")
	if err != nil {
		return "", err
	}
	wasm, err = abi.AppendManifest(wasm, manifest)
	return string(wasm), err
})

// spelled is every way in which the tests' plugin, or a client, spells a secret.
func spelled(secret string) (list []string) {
	percent := ""
	for i := range len(secret) {
		percent += fmt.Sprintf("%%%02x", secret[i])
	}
	list = []string{secret, url.QueryEscape(secret), url.PathEscape(secret), percent, strings.ToUpper(percent), strings.ReplaceAll(percent, "%", "%25"),
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))), secret[:len(secret)/2], secret[len(secret)/2:]}
	quoted, _ := json.Marshal(secret)
	list = append(list, string(quoted[1:len(quoted)-1]))
	for before := range 3 {
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			text := e.EncodeToString([]byte("xyz"[:before] + secret))
			list = append(list, text[4:len(text)-4])
		}
	}
	return list
}

// noSecrets looks for secrets in all bytes below the folder of recordings.
func (g *gateway) noSecrets(t *testing.T, secrets ...string) {
	t.Helper()
	files := 0
	require.NoError(t, filepath.WalkDir(g.recordings(""), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		// What a JSON reader sees counts, too.
		var v any
		if err == nil {
			err = json.Unmarshal(data, &v)
		}
		decoded := fmt.Sprint(v)
		for _, secret := range secrets {
			for _, s := range spelled(secret) {
				if strings.Contains(string(data), s) || strings.Contains(decoded, s) {
					t.Errorf("%s holds %q of the secret %q\n%s", path, s, secret, data)
					return fs.SkipAll
				}
			}
		}
		return err
	}))
	assert.Positive(t, files)
}

// secrets of the talker's scene. None has a part of eight bytes in common with what else is
// in a recording.
const (
	signing  = "sIgNiNg-Key/0+91=qQ"
	keyValue = "rEfErEnCe-V4lue"
	apiKey   = "aPiKeY-77-zzyyxx"
	session  = "sEsSiOn+Id/88=vv"
	opaque   = "oPaQuE.tOkEn~99-mmnnoo"
	password = "pAsSw0rd-in-b0dy"
	inQuery  = "qUeRy s3cret&more"
	tenant   = "tEnAnT-hEaDeR-value"
	upCookie = "uPsTrEaM-cOoKiE-5"
	short    = "p4s5w"
)

// startTalker is a gateway whose plugin repeats what it knows, before an upstream that sets
// cookies and a service that answers with the secrets it got.
func startTalker(t *testing.T, how string) *gateway {
	wasm, err := talker()
	require.NoError(t, err)
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "up="+upCookie+"; Path=/; HttpOnly")
		io.WriteString(w, `{"access_token": "`+opaque+`", "password":"`+short+`"}`)
	})
	service := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "svc="+upCookie)
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %d", r.Header.Get("Authorization"), r.Header.Get("X-Key"), body, len(body))
	})
	grants := "{http: [\"" + service.URL + "\"], kv: [visits/], secrets: [signing]}"
	return start(t, files{
		"plugins/talker.wasm": wasm,
		"key":                 keyValue,
		"wasmgate.yaml":       "secrets: {signing: " + signing + "}",
		"apis/a.yaml": document("x-wasmgate-api: {id: api}",
			"/x/{id}: {post: {"+policies(recordedPolicy("talker", how, "grants: "+grants+`, config: {endpoint: "`+service.URL+`/told", key: "${file:../key}"}`))+", "+proxy(u.URL)+"}}")})
}

func (g *gateway) talk(t *testing.T, c *http.Client, more ...string) answer {
	t.Helper()
	query := "?code=" + url.QueryEscape(inQuery) + "&a=b&TOKEN=" + opaque + "&again=" + url.QueryEscape(url.QueryEscape(session))
	body := "user=me&password=" + password + "&x=" + apiKey
	fields := append([]string{"Authorization: Bearer " + opaque, "X-Api-Key: " + apiKey, "Cookie: a=1; sid=" + session, "X-Tenant: " + tenant,
		"Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+password)), "Content-Type: application/x-www-form-urlencoded"}, more...)
	return send(t, c, "POST", site+"/x/"+tenant+query, body, fields...)
}

// What a gateway records holds no secret, decides as it did, and gives the same result and
// the same fuel wherever and however often it is run again.
func TestRecord(t *testing.T) {
	g := startTalker(t, "{redact: [header.x-tenant]}")
	const n = 8
	g.each(t, func(t *testing.T, c *http.Client) {
		for range n / 2 {
			require.Equal(t, 200, g.talk(t, c).StatusCode)
		}
	})
	assert.Equal(t, 500, g.talk(t, g.h1, "X-Crash: yes").StatusCode)
	cases := g.recorded(t, "talker", 4*n+3) // the crash has no map_request
	require.NotEmpty(t, cases)
	hooks, traps := map[string]int{}, 0
	for _, c := range cases {
		hooks[c.Hook.String()]++
		if c.Trap != nil {
			traps++
			assert.Equal(t, "trap", c.Trap.Kind)
			assert.Contains(t, strings.Join(c.Trap.Stack, " "), "main.check")
			assert.Contains(t, c.Trap.Text, "cannot read Bearer")
			assert.Equal(t, "trap", c.Live.Trap)
			assert.Empty(t, c.Live.Changed)
		} else if c.Hook == abi.HookAuthorize {
			assert.Equal(t, "allow", c.Live.Decision)
			assert.JSONEq(t, `"allow"`, string(c.Result()["decision"]), "it decides without secrets as with them")
			assert.Subset(t, c.Live.Redacted, []string{"header.authorization", "header.cookie", "header.x-tenant", "param.code", "query", "config"})
			assert.Len(t, c.Log, 1)
			assert.NotEmpty(t, c.Host.Calls)
		}
		assert.Equal(t, "talker", c.Module.ID)
		assert.Regexp(t, `^[0-9a-f-]{36}$`, c.Live.RequestID)
	}
	assert.Equal(t, 1, traps)
	assert.Equal(t, map[string]int{"authorize": n + 1, "map_request": n, "map_response": n + 1, "observe": n + 1}, hooks)
	g.noSecrets(t, signing, keyValue, apiKey, session, opaque, password, inQuery, tenant, upCookie)
	g.nowhere(t, short)
	for _, environ := range [][]string{{"GOMAXPROCS=1", "GOGC=off"}, {"GOMAXPROCS=4", "GOGC=20"}} {
		all := elsewhere(t, g, environ...)
		require.Len(t, all, len(cases))
		for _, one := range all {
			assert.Equal(t, host.ReplaySame, one.Outcome)
			assert.Empty(t, one.Differences, one.File)
			assert.Equal(t, one.Fuel.Want, one.Fuel.Got)
		}
	}
}

// The built-in plugins, and one with every hook and every power in each language of the SDKs.
func TestRecordEveryLanguage(t *testing.T) {
	t.Parallel() // it waits for programs and compilers more than it works
	key := elliptical(t)
	p := newProvider(t, public(key, "k1")) // which serves the plugins too: any path has an answer
	p.Start()
	content := files{"wasmgate.yaml": "secrets: {signing: " + signing + ", upstream: " + opaque + "}"}
	paths := []string{at("/builtin", policies(
		recordedPolicy("cors", "{}", `config: {allow_origins: ["https://app.example"]}`),
		recordedPolicy("jwt", "{reveal: [claim.tier]}", fmt.Sprintf(`config: {issuer: %q, audience: [shop], cache_ttl_s: 0, required_claims: {tier: gold}}, grants: {jwks: [%[1]q]}`, p.URL)),
		recordedPolicy("rate-limit", "{}", "config: {rate: 1000, burst: 1000, by: identity}"),
		recordedPolicy("transform", "{}", `config: {request: {headers: {set: {x-who: "${principal}"}}}, response: {body: {set: {seen: "${context.claims.tier}"}}}}`)), proxy(p.URL))}
	for _, l := range sdks {
		id := strings.ToLower(l.name)
		manifest, err := os.ReadFile(filepath.Join(reference, "full", "manifest.json"))
		require.NoError(t, err)
		manifest = bytes.Replace(manifest, []byte(`"full"`), fmt.Appendf(nil, "%q", id), 1)
		wasm, err := abi.AppendManifest(build(t, l.folder, l.build, "full"), manifest)
		require.NoError(t, err)
		content["plugins/"+id+".wasm"] = string(wasm)
		paths = append(paths, at("/"+id, policies(recordedPolicy(id, "{}", fmt.Sprintf(
			`config: "x-api-key %s", grants: {jwks: [%[1]q], http: [%[1]q], kv: [full/], secrets: [signing, upstream]}`, p.URL))), proxy(p.URL)))
	}
	content["apis/a.yaml"] = document("x-wasmgate-api: {id: api}\nx-wasmgate-keys: [{id: anna, value: "+apiKey+"0123456789}]", paths...)
	g := start(t, content)
	tok := token(t, jose.ES256, key, "k1", p.good(claims{"email": "alice@example.com"}))
	require.Equal(t, 200, get(t, g.h1, site+"/builtin", bearer(tok), "Origin: https://app.example", "Cookie: sid="+session).StatusCode)
	want := map[string]int{"cors": 2, "jwt": 1, "rate-limit": 1, "transform": 2}
	for _, l := range sdks {
		id := strings.ToLower(l.name)
		require.Equal(t, 200, get(t, g.h2, site+"/"+id, bearer(tok), "X-Api-Key: "+apiKey+"0123456789").StatusCode, id)
		want[id] = 9
	}
	total := 0
	for plugin, n := range want {
		total += n
		for _, c := range g.recorded(t, plugin, n) {
			for _, field := range c.Live.Changed { // what is made of a secret, or is one
				assert.Contains(t, []string{"principal", "edits"}, field, "%s of %s", c.Hook, plugin)
			}
			if decision := c.Result()["decision"]; c.Hook == abi.HookAuthorize {
				assert.JSONEq(t, `"allow"`, string(decision), plugin)
			}
		}
	}
	g.noSecrets(t, tok[strings.LastIndexByte(tok, '.')+1:], apiKey+"0123456789", session, signing, opaque)
	for _, secret := range []string{tok, strings.Split(tok, ".")[1], "alice@example.com"} {
		for _, s := range spelled(secret)[:8] { // half a token is an issuer and an audience
			g.nowhere(t, s)
		}
	}
	first := elsewhere(t, g, "GOMAXPROCS=1", "GOGC=off")
	assert.Len(t, first, total)
	for _, one := range first {
		assert.Equal(t, host.ReplaySame, one.Outcome, "%+v", one)
		assert.Empty(t, one.Differences)
	}
}

// nowhere looks for a text in all bytes below the folder of recordings.
func (g *gateway) nowhere(t *testing.T, s string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(g.recordings(""), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), s) {
			t.Errorf("%s holds %q", path, s)
		}
		return err
	}))
}

// Under load no more is written than the policy allows, no more stays than there is room for,
// the newest stay, and no request waits or fails.
func TestRecordBounds(t *testing.T) {
	u := serve(t, nil)
	body := `config: {request: {body: {set: {a: b}}}}`
	g := start(t, files{
		"wasmgate.yaml": "recordings: {bytes: 1MiB}",
		"apis/a.yaml": document("x-wasmgate-api: {id: api}",
			"/all: {post: {"+policies(recordedPolicy("transform", "{max: 6000}", body))+", "+proxy(u.URL)+"}}",
			"/some: {get: {"+policies(recordedPolicy("jwt", "{max: 7}", `config: {issuer: "https://id.example", audience: [a]}, grants: {jwks: ["https://id.example"]}`))+", "+proxy(u.URL)+"}}",
			"/none: {get: {"+policies(recordedPolicy("ip-rules", "{sample: 0}", `config: {allow: ["127.0.0.0/8"]}`))+", "+proxy(u.URL)+"}}")})
	large := `{"x": "` + strings.Repeat("y", 50<<10) + `"}`
	var clients sync.WaitGroup
	const n = 60
	for i := range n {
		clients.Go(func() {
			c := []*http.Client{g.h1, g.h2}[i%2]
			assert.Equal(t, 200, send(t, c, "POST", site+"/all?n="+fmt.Sprint(i), large, "Content-Type: application/json").StatusCode)
			assert.Equal(t, 401, get(t, c, site+"/some").StatusCode)
			assert.Equal(t, 200, get(t, c, site+"/none").StatusCode)
		})
	}
	clients.Wait()
	await(t, "all that is to be recorded is", func() bool {
		return g.metric("wasmgate_recordings_total", `plugin="transform"`) == n
	})
	written := g.metric("wasmgate_recordings_total", `plugin="transform"`, `outcome="written"`)
	assert.Equal(t, float64(n), written+g.metric("wasmgate_recordings_total", `plugin="transform"`, `outcome="busy"`))
	kept, total := 0, int64(0)
	require.NoError(t, filepath.WalkDir(g.recordings(""), func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		if d.IsDir() {
			assert.EqualValues(t, 0o700, info.Mode().Perm(), path)
			return nil
		}
		assert.EqualValues(t, 0o600, info.Mode().Perm(), path)
		if strings.Contains(path, "/transform/") {
			kept, total = kept+1, total+info.Size()
		}
		return nil
	}))
	assert.LessOrEqual(t, total, int64(1<<20))
	assert.Greater(t, total, int64(1<<19), "there is room for %d files", kept)
	assert.Less(t, float64(kept), written, "the oldest went")
	// The minute may have ended once meanwhile.
	assert.Contains(t, []float64{7, 14}, g.metric("wasmgate_recordings_total", `plugin="jwt"`))
	assert.NoDirExists(t, g.recordings("ip-rules"))
}

// A reload begins and ends recording, and neither forgets what buckets and verdicts know.
func TestRecordReload(t *testing.T) {
	u := serve(t, nil)
	api := func(record string) files {
		return files{"apis/a.yaml": document("x-wasmgate-api: {id: api}",
			at("/x", policies("{plugin: rate-limit, config: {rate: 1, per: hour, burst: 6, by: api}}",
				"{plugin: transform, config: {response: {body: {set: {a: b}}}}"+record+"}"), proxy(u.URL)))}
	}
	g := start(t, api(""))
	require.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	assert.NoDirExists(t, g.recordings(""))
	g.update(api(", record: {}"))
	require.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	require.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	g.recorded(t, "transform", 3) // map_request has a static plan
	g.update(api(""))
	require.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	g.update(api(", record: {max: 100}"))
	require.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	assert.Len(t, g.recorded(t, "transform", 5), 5, "the worker writes in order: the one between would be there")
	require.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	assert.Equal(t, 429, get(t, g.h1, site+"/x").StatusCode, "the bucket of six")
}

// What cannot be recorded is refused, or told and counted: a config that the plugin does not
// take without a reference's value, which the operator may reveal.
func TestRecordRefused(t *testing.T) {
	u := serve(t, nil)
	limited := func(how string) string {
		return document("x-wasmgate-api: {id: api}", at("/x", policies(recordedPolicy("rate-limit", how, `config: {rate: 9, burst: 9, per: "${file:../per}", by: api}`)), proxy(u.URL)))
	}
	g := start(t, files{"per": "minute", "apis/a.yaml": limited("{}")})
	require.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	await(t, "a recording that is refused", func() bool { return g.metric("wasmgate_recordings_total", `outcome="refused"`) == 1 })
	assert.NoDirExists(t, g.recordings("rate-limit"))
	assert.Contains(t, g.log.String(), "reveal: [config] keeps them")
	g.update(files{"apis/a.yaml": limited("{reveal: [config]}")})
	require.Equal(t, 200, get(t, g.h1, site+"/x").StatusCode)
	await(t, "a recording", func() bool { return g.metric("wasmgate_recordings_total", `outcome="written"`) == 1 })
	g.nowhere(t, "redacted")

	wasm, err := goHandler()
	require.NoError(t, err)
	why := g.refused(files{"plugins/foreign.wasm": wasm,
		"apis/a.yaml": document("x-wasmgate-api: {id: api}", at("/x", policies(recordedPolicy("foreign", "{}", "config: x")), proxy(u.URL)))})
	assert.Contains(t, why, "policy foreign: record: the plugin is for http-wasm, want one of Wasmgate's own ABI, whose calls can be run again")
}
