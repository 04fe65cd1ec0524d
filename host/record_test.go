package host_test

import (
	"context"
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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host"
)

// replayIn says, in the environment of this test binary, where the recordings are that it
// runs again instead of tests, as a process of its own: a folder and a plugins.dir.
const replayIn = "WASMGATE_TEST_REPLAY"

// replayElsewhere is the main of that process: it prints what came of each recording.
func replayElsewhere(where string) int {
	recordings, plugins, _ := strings.Cut(where, string(filepath.ListSeparator))
	config, err := host.Load(host.LoadOptions{Environ: []string{}, Set: map[string]string{"plugins.dir": plugins}})
	if err == nil {
		var all []host.Replayed
		all, err = host.Replay(context.Background(), host.ReplayOptions{Config: config, Builtins: os.DirFS("../cmd/wasmgate/builtin"), Paths: []string{recordings}})
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(all)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// elsewhere runs the recordings of a gateway in another process with another collector and
// number of processors.
func elsewhere(t *testing.T, g *gateway, environ ...string) (all []host.Replayed) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), environ...), replayIn+"="+g.recordings("")+string(filepath.ListSeparator)+filepath.Join(g.dir, "plugins"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	require.NoError(t, json.Unmarshal(out, &all))
	return all
}

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
			assert.Contains(t, strings.Join(c.Trap.Stack, " "), "main.crash")
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
