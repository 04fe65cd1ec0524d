package host_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/host"
	. "github.com/wasmgate/wasmgate/host/internal/guest/wasmtest"
	"github.com/wasmgate/wasmgate/host/internal/rollout"
)

const rolledURL = "https://a.execute-api.localhost/prod/v"

// startRollouts serves two stages with the plugin stamp.
func startRollouts(t *testing.T) *gateway {
	u := serve(t, nil)
	api := func(id, stage string) string {
		return document("x-wasmgate-api: {id: "+id+", stage: "+stage+"}\nx-wasmgate-policies: [{plugin: stamp, config: "+strconv.Quote(mark(0))+"}]",
			`/v: {x-amazon-apigateway-any-method: {`+proxy(u.URL+"/v")+`}}`)
	}
	return start(t, files{"wasmgate.yaml": "log: {access: {enabled: false}}\n", "plugins/stamp.wasm": stamp(1),
		"apis/a.yaml": api("a", "prod"), "apis/b.yaml": api("b", "dev")})
}

// version is the build of the stamp that served a request.
func (g *gateway) version(t *testing.T, url string, fields ...string) string {
	t.Helper()
	a := get(t, g.h1, url, fields...)
	require.Equal(t, 200, a.StatusCode, a.body)
	return a.Header.Get("x-plugin")
}

// rolled is the last rollout of stamp in a state.
func (g *gateway) rolled(state rollout.State) (found host.RolloutStatus) {
	for _, r := range g.Rollouts().Rollouts {
		if r.Plugin == "stamp" && r.State == state {
			found = r
		}
	}
	return found
}

func TestRolloutByPercent(t *testing.T) {
	g := startRollouts(t)
	ctx := context.Background()
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 25}}))
	const n = 2000
	served := map[string]int{}
	for range n {
		served[g.version(t, rolledURL)]++
	}
	// Six standard deviations of a binomial distribution to either side.
	assert.InDelta(t, n/4, served[mark(2)], 6*20)
	assert.Equal(t, n, served[mark(1)]+served[mark(2)])
	r := g.rolled(rollout.Running)
	require.NotNil(t, r.New)
	assert.EqualValues(t, 2*served[mark(2)], r.New.Decisions, "map_request and map_response of each request")
	assert.EqualValues(t, 2*served[mark(1)], r.Old.Decisions)
	assert.EqualValues(t, r.New.Decisions, g.metric("wasmgate_rollout_decisions_total", `plugin="stamp"`, `version="new"`, `outcome="ok"`))

	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Share: rollout.Share{Percent: 100}}))
	assert.Equal(t, mark(2), g.version(t, rolledURL))
	require.NoError(t, g.Rollback(ctx, "stamp", "seen enough"))
	for range 20 {
		assert.Equal(t, mark(1), g.version(t, rolledURL))
	}
	assert.Equal(t, "seen enough", g.rolled(rollout.RolledBack).Reason)
}

func TestRolloutByHeaderAndStage(t *testing.T) {
	g := startRollouts(t)
	ctx := context.Background()
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Header: "X-Canary: yes"}}))
	assert.Equal(t, mark(1), g.version(t, rolledURL))
	assert.Equal(t, mark(1), g.version(t, rolledURL, "x-canary: no"))
	assert.Equal(t, mark(2), g.version(t, rolledURL, "x-canary: yes"))
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Share: rollout.Share{Header: "x-other"}}))
	assert.Equal(t, mark(1), g.version(t, rolledURL, "x-canary: yes"))
	assert.Equal(t, mark(2), g.version(t, rolledURL, "x-other: anything"))
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Share: rollout.Share{Stage: "dev"}}))
	assert.Equal(t, mark(1), g.version(t, rolledURL, "x-other: anything"))
	assert.Equal(t, mark(2), g.version(t, "https://b.execute-api.localhost/dev/v"))
}

func TestPromote(t *testing.T) {
	g := startRollouts(t)
	ctx := context.Background()
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 0.01}}))
	require.NoError(t, g.Promote(ctx, "stamp"))
	assert.Equal(t, mark(2), g.version(t, rolledURL))
	// The next one goes on from there, and back to there.
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(3)), Share: rollout.Share{Percent: 100}}))
	assert.Equal(t, mark(3), g.version(t, rolledURL))
	require.NoError(t, g.Rollback(ctx, "stamp", ""))
	assert.Equal(t, mark(2), g.version(t, rolledURL))
	require.NoError(t, g.Rollback(ctx, "stamp", ""))
	assert.Equal(t, mark(1), g.version(t, rolledURL))
	require.ErrorContains(t, g.Rollback(ctx, "stamp", ""), `plugin "stamp" has no rollout that runs, nor a promoted version`)
	kept, err := filepath.Glob(filepath.Join(g.dir, "data", "rollouts", "*.wasm"))
	require.NoError(t, err)
	assert.Empty(t, kept, "modules that nothing needs")
}

// Who replaces a plugin's file has the last word.
func TestFileEndsRollout(t *testing.T) {
	g := startRollouts(t)
	ctx := context.Background()
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 100}}))
	require.NoError(t, g.Promote(ctx, "stamp"))
	g.update(files{"plugins/stamp.wasm": stamp(4)})
	assert.Equal(t, mark(4), g.version(t, rolledURL))
	assert.Contains(t, g.rolled(rollout.Returned).Reason, "the plugin's source gives sha256:")
}

func TestRolloutsSurviveRestarts(t *testing.T) {
	g := startRollouts(t)
	ctx := context.Background()
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 100}}))
	content := files{"plugins/stamp.wasm": stamp(1)}
	for _, name := range []string{"wasmgate.yaml", "apis/a.yaml"} {
		text, err := os.ReadFile(filepath.Join(g.dir, name))
		require.NoError(t, err)
		content[name] = string(text)
	}
	kept, err := filepath.Glob(filepath.Join(g.dir, "data", "rollouts", "*"))
	require.NoError(t, err)
	require.Len(t, kept, 2)
	for _, path := range kept {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		content["data/rollouts/"+filepath.Base(path)] = string(text)
	}
	require.NoError(t, g.Close())
	assert.Equal(t, mark(2), start(t, content).version(t, rolledURL))
	content["plugins/stamp.wasm"] = stamp(3) // while the gateway was down
	again := start(t, content)
	assert.Equal(t, mark(3), again.version(t, rolledURL))
	assert.Contains(t, again.rolled(rollout.Returned).Reason, "the plugin's source gives sha256:")
	content["plugins/stamp.wasm"] = stamp(1)

	for name := range content {
		if strings.HasSuffix(name, ".wasm") && strings.HasPrefix(name, "data/") {
			content[name] = stamp(9) // not what was rolled out
		}
	}
	h, err := host.New(prepare(t, t.TempDir(), content))
	require.NoError(t, err)
	require.ErrorContains(t, h.Run(ctx), "want sha256:")
}

// version2 is a plugin of one hook without a manifest. Its memory begins with a record.
func version2(hook abi.Hook, record []byte, code ...[]byte) *Module {
	m := &Module{Memories: [][2]int{{1, 1}}}
	m.ExportRaw("memory", 2, 0)
	m.Export(abi.Marker, m.Func(Sig(nil, nil), nil))
	m.Export(abi.Scratch, m.Func(Sig(nil, T(I64)), nil, I64Const(scratchAt<<32|scratchSize)))
	m.Data(0, record)
	if len(code) == 0 {
		code = append(code, I64Const(int64(len(record))))
	}
	m.Export(hook.Export(), m.Func(hookType, nil, code...))
	return m
}

// result is a record that write fills with one field.
func result(t *testing.T, hook abi.Hook, write func(w *abi.Writer[abi.ResultField])) []byte {
	var w abi.Writer[abi.ResultField]
	record := make([]byte, 256)
	w.Start(record, hook, 1)
	write(&w)
	n, err := w.Finish()
	require.NoError(t, err)
	return record[:n]
}

// A version that traps, denies or takes too long serves a few requests and no more.
func TestBadVersionsReturn(t *testing.T) {
	slow := version2(abi.HookMapRequest, nil, Loop(Empty, LocalGet(0), I32Const(1), I32Add, LocalSet(0), LocalGet(0), I32Const(2_000_000), I32LtU, BrIf(0)), I64Const(0))
	denial := result(t, abi.HookMapRequest, func(w *abi.Writer[abi.ResultField]) { w.Uint(abi.ResultDecision, uint64(abi.DecisionDeny)) })
	none, few := 0.0, 1e-3
	for name, tt := range map[string]struct {
		module *Module
		bounds rollout.Bounds
		status int
		reason string
	}{
		"traps":   {version2(abi.HookMapRequest, nil, Unreachable), rollout.Bounds{}, 500, "decisions failed, want at most 1 % of at least 100"},
		"denials": {version2(abi.HookMapRequest, denial), rollout.Bounds{}, 400, "decisions are denials, want at most 5 percentage points above the 0 % of the old version"},
		"latency": {slow, rollout.Bounds{Latency: &few, Decisions: 10, Denials: &none}, 200, "95 of 100 calls end within"},
	} {
		t.Run(name, func(t *testing.T) {
			g := startRollouts(t)
			require.NoError(t, g.Rollout(context.Background(), &host.Rollout{Plugin: "stamp", Module: tt.module.Bytes(),
				Share: rollout.Share{Header: "x-canary"}, Bounds: tt.bounds}))
			met := 0
			await(t, "the version to be taken back", func() bool {
				a := get(t, g.h1, rolledURL, "x-canary: 1")
				if a.Header.Get("x-plugin") == "" {
					assert.Equal(t, tt.status, a.StatusCode)
					met++
				}
				assert.Equal(t, mark(1), g.version(t, rolledURL), "others notice nothing")
				return g.rolled(rollout.Returned).Plugin != ""
			})
			assert.Positive(t, met)
			assert.Equal(t, mark(1), g.version(t, rolledURL, "x-canary: 1"))
			assert.Contains(t, g.rolled(rollout.Returned).Reason, tt.reason)
			assert.Equal(t, 1.0, g.metric("wasmgate_rollouts_returned_total", `plugin="stamp"`))
		})
	}
}

// Taking back does not wait for a configuration that is well.
func TestRollbackOfBrokenConfiguration(t *testing.T) {
	g := startRollouts(t)
	ctx := context.Background()
	require.NoError(t, g.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 100}}))
	g.refused(files{"apis/b.yaml": "{"})
	assert.Equal(t, mark(2), g.version(t, rolledURL))
	require.NoError(t, g.Rollback(ctx, "stamp", ""))
	assert.Equal(t, mark(1), g.version(t, rolledURL))
}

func TestRefusedRollouts(t *testing.T) {
	g := startRollouts(t)
	other := strings.Replace(stamp(2), `"id": "stamp"`, `"id": "stomp"`, 1)
	picky := stamp(3) // its manifest wants another config
	picky = strings.Replace(picky, `"version": "1"`, `"version": "2"`, 1)
	refusing := version2(abi.HookConfigure, result(t, abi.HookConfigure, func(w *abi.Writer[abi.ResultField]) { w.String(abi.ResultError, "no such config") }))
	refusing.Export(abi.HookMapRequest.Export(), refusing.Func(hookType, nil, I64Const(0)))
	ten := rollout.Share{Percent: 10}
	for name, tt := range map[string]struct {
		rollout host.Rollout
		want    string
	}{
		"no share":   {host.Rollout{Plugin: "stamp", Module: []byte(stamp(2))}, "got 0 of percent, stage and header, want one of them"},
		"two shares": {host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 1, Stage: "prod"}}, "got 2 of percent"},
		"percent":    {host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 101}}, "percent: got 101, want 0.01 to 100"},
		"header":     {host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Header: "a b: c"}}, `header: got "a b: c"`},
		"stage":      {host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Stage: "prd"}}, `stage: got "prd", want the stage of an API`},
		"bound":      {host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: ten, Bounds: rollout.Bounds{Failures: new(float64(-1))}}, "max_failures: got -1, want 0 to 100"},
		"unbound":    {host.Rollout{Plugin: "none", Module: []byte(stamp(2)), Share: ten}, "no policy that serves has this plugin"},
		"built in":   {host.Rollout{Plugin: "http", Module: []byte(stamp(2)), Share: ten}, "it is built in"},
		"garbage":    {host.Rollout{Plugin: "stamp", Module: []byte("garbage"), Share: ten}, "stamp"},
		"the same":   {host.Rollout{Plugin: "stamp", Module: []byte(stamp(1)), Share: ten}, "want another than the one that serves"},
		"another id": {host.Rollout{Plugin: "stamp", Module: []byte(other), Share: ten}, `got a module whose manifest says id "stomp"`},
		"none runs":  {host.Rollout{Plugin: "stamp", Share: ten}, "a new one wants a module"},
		"import":     {host.Rollout{Plugin: "stamp", Module: caller().Bytes(), Share: ten}, "wasmgate.http.v1"},
		"config":     {host.Rollout{Plugin: "stamp", Module: refusing.Bytes(), Share: ten}, "no such config"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, g.Rollout(context.Background(), &tt.rollout), tt.want)
			assert.Equal(t, mark(1), g.version(t, rolledURL))
			assert.Empty(t, g.Rollouts().Rollouts)
			kept, err := filepath.Glob(filepath.Join(g.dir, "data", "rollouts", "*.wasm"))
			require.NoError(t, err)
			assert.Empty(t, kept)
		})
	}
	require.NoError(t, g.Rollout(context.Background(), &host.Rollout{Plugin: "stamp", Module: []byte(picky), Share: ten}))
	require.ErrorContains(t, g.Rollout(context.Background(), &host.Rollout{Plugin: "stamp", Module: []byte(stamp(4)), Share: ten}), "a rollout of it runs")
}

// Two versions beside each other do not let anybody through twice as often.
func TestRolloutKeepsBuckets(t *testing.T) {
	u := serve(t, nil)
	ten := version2(abi.HookThrottle, result(t, abi.HookThrottle, func(w *abi.Writer[abi.ResultField]) {
		w.Buckets(abi.ResultBuckets, []abi.Bucket{{Name: []byte("all"), Rate: 1e-6, Burst: 10, Cost: 1, Key: abi.Value(nil).Literal("all")}})
	}))
	old := string(ten.Bytes())
	ten.Custom("build", []byte("2"))
	g := start(t, files{"plugins/limit.wasm": old,
		"apis/a.yaml": document("x-wasmgate-api: {id: a, stage: prod}\nx-wasmgate-policies: [{plugin: limit}]", at("/v", proxy(u.URL)))})
	require.NoError(t, g.Rollout(context.Background(), &host.Rollout{Plugin: "limit", Module: ten.Bytes(), Share: rollout.Share{Header: "x-canary"}}))
	passed := 0
	for i := range 40 {
		fields := []string{"x-canary: 1"}
		if i%2 == 0 {
			fields = nil
		}
		if get(t, g.h1, rolledURL, fields...).StatusCode == 200 {
			passed++
		}
	}
	assert.Equal(t, 10, passed)
}

// TestRolloutsUnderLoad: whatever is rolled out and taken back, no request is lost and
// nothing stays behind. WASMGATE_ROLLOUTS is how many there are; 300 without it.
func TestRolloutsUnderLoad(t *testing.T) {
	rounds := 300
	if text := os.Getenv("WASMGATE_ROLLOUTS"); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	s := newSwapper(t)
	ctx := context.Background()
	known := func(c *http.Client) func() error {
		return func() error {
			resp, body, err := fetch(c, http.MethodGet, swapURL, nil)
			if err != nil {
				return err
			}
			words := strings.Fields(body)
			if resp.StatusCode != 200 || len(words) != 3 || words[1] != resp.Header.Get("x-plugin") || words[2] != mark(0) {
				return &mixed{resp.StatusCode, body, resp.Header.Get("x-plugin")}
			}
			return nil
		}
	}
	round := func(from, to int) (requests int64) {
		l := &load{stopping: make(chan struct{})}
		for _, c := range []*http.Client{s.h1, s.h2, s.h1, s.h2} {
			l.start(known(c))
		}
		for n := from; n <= to; n++ {
			require.NoError(t, s.Rollout(ctx, &host.Rollout{Plugin: "stamp", Module: []byte(stamp(n)), Share: rollout.Share{Percent: 50}}))
			if n%10 == 0 {
				require.NoError(t, s.Promote(ctx, "stamp"))
			}
			require.NoError(t, s.Rollback(ctx, "stamp", ""))
		}
		l.stop(t)
		return l.requests.Load()
	}
	const warm = 50
	requests := round(1, warm)
	before := s.footprint(t)
	requests += round(warm+1, rounds)
	var after footprint
	const mib = 1 << 20
	await(t, "goroutines to end", func() bool {
		after = s.footprint(t)
		return after.goroutines <= before.goroutines+2 && after.descriptors <= before.descriptors+2
	})
	t.Logf("%d rollouts and rollbacks under %d requests; heap %.1f -> %.1f MiB, RSS %.1f -> %.1f MiB, mappings %d -> %d", rounds, requests,
		float64(before.heap)/mib, float64(after.heap)/mib, float64(before.rss)/mib, float64(after.rss)/mib, before.mappings, after.mappings)
	require.Less(t, after.heap-before.heap, 4*mib)
	require.Less(t, after.mappings-before.mappings, 100, "native code of versions that are gone")
}

// mixed is an answer in which two versions took part.
type mixed struct {
	status       int
	body, plugin string
}

func (m *mixed) Error() string {
	return strconv.Itoa(m.status) + ": request " + m.body + ", response " + m.plugin
}

// The admin listener takes the same commands as JSON.
func TestRolloutCommands(t *testing.T) {
	g := startRollouts(t)
	token, err := os.ReadFile(filepath.Join(g.dir, "data", "admin.token"))
	require.NoError(t, err)
	admin := func(method, path, body string) answer {
		return send(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, method, "http://"+g.admin+"/admin/v1/"+path, body,
			"Authorization: Bearer "+strings.TrimSpace(string(token)))
	}
	body, err := json.Marshal(host.Rollout{Plugin: "stamp", Module: []byte(stamp(2)), Share: rollout.Share{Percent: 100}})
	require.NoError(t, err)
	a := admin("POST", "rollouts/start", string(body))
	require.Equal(t, 200, a.StatusCode, a.body)
	assert.Equal(t, mark(2), g.version(t, rolledURL))
	assert.Contains(t, admin("GET", "rollouts", "").body, `"state":"running"`)
	assert.Equal(t, 200, admin("POST", "rollouts/promote", `{"plugin": "stamp"}`).StatusCode)
	assert.Equal(t, 200, admin("POST", "rollouts/rollback", `{"plugin": "stamp", "reason": "enough"}`).StatusCode)
	a = admin("POST", "rollouts/rollback", `{"plugin": "stamp", "why": "enough"}`)
	assert.Equal(t, 422, a.StatusCode)
	assert.Contains(t, a.body, `unknown field`)
	assert.Equal(t, 413, admin("POST", "rollouts/promote", strings.Repeat(" ", 70<<10)).StatusCode)
	assert.Equal(t, 405, admin("GET", "rollouts/promote", "").StatusCode)
	a = send(t, &http.Client{}, "POST", "http://"+g.admin+"/admin/v1/rollouts/promote", `{"plugin": "stamp"}`)
	assert.Equal(t, 401, a.StatusCode)
}
