package host_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// firewall compiles Coraza with the OWASP Core Rule Set inside, for proxy-wasm. The tags are
// those by which its own project builds it for Wasm: without schemas, and formats of audit logs.
func firewall(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "coraza.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s", "-tags=tinygo,no_fs_access", "-o", out, ".")
	cmd.Dir = "testdata/coraza"
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "build firewall: %s", text)
	wasm, err := os.ReadFile(out)
	require.NoError(t, err)
	return string(wasm)
}

// rules are Coraza's directives as a config, with one rule more: no word may be that one.
func rules(word string) string {
	return strings.ReplaceAll(fmt.Sprintf(`"Include @coraza.conf-recommended
SecRuleEngine On
Include @crs-setup.conf.example
Include @owasp_crs/*.conf
SecRule ARGS:word \"@streq %s\" \"id:7,phase:2,deny,status:406\""`, word), "\n", `\n`)
}

// A web application firewall is a plugin like any other, under limits that its operator sets.
func TestFirewall(t *testing.T) {
	t.Parallel() // it waits for programs and compilers more than it works
	wasm := firewall(t)
	u := serve(t, nil)
	policy := func(word, limits string) files {
		return files{"apis/a.yaml": passingThrough(u.URL, "{plugin: waf, config: "+rules(word)+limits+"}")}
	}
	const enough = ", memory: 128MiB, fuel: 20000000000"
	content := policy("red", enough)
	content["plugins/waf.wasm"] = wasm
	content["wasmgate.yaml"] = "plugins: {dir: plugins, instances: 1}" // each starts for a second
	g := start(t, content)

	refused := func(t *testing.T, a answer) {
		t.Helper()
		assert.Equal(t, 403, a.StatusCode, a.body)
		assert.Equal(t, "949110", a.Header.Get("X-Rule"), "the rule that adds the others up")
	}
	g.each(t, func(t *testing.T, c *http.Client) {
		before := u.count()
		refused(t, get(t, c, site+"/a?id=1%27%20OR%20%271%27=%271%27%20--%20"))
		form := []string{"Content-Type: application/x-www-form-urlencoded", "User-Agent: test", "Accept: */*"}
		refused(t, send(t, c, "POST", site+"/a", "name=x&id=1'+UNION+SELECT+password+FROM+users+--+", form...))
		refused(t, get(t, c, site+"/a?x=%3Cscript%3Ealert(1)%3C/script%3E"))
		assert.Equal(t, before, u.count(), "nothing of it reached the upstream")
		a := get(t, c, site+"/a?id=1")
		assert.Equal(t, "200 GET /a?id=1", fmt.Sprint(a.StatusCode, " ", a.body))
		a = send(t, c, "POST", site+"/a", "name=Anna&text=a+few+harmless+words", form...)
		assert.Equal(t, "200 POST /a", fmt.Sprint(a.StatusCode, " ", a.body))
		assert.Equal(t, "name=Anna&text=a+few+harmless+words", u.last(t).body)
	})
	await(t, "the guest's log", func() bool { return strings.Contains(g.log.String(), "SQL Injection Attack") })

	t.Run("limits", func(t *testing.T) {
		assert.Contains(t, g.refused(policy("red", ", memory: 32MiB, fuel: 20000000000")), "policy waf: memory cap of 33554432 bytes")
		assert.Contains(t, g.refused(policy("red", ", memory: 128MiB")), "policy waf: the call used up its fuel")
		refused(t, get(t, g.h2, site+"/a?id=1%27%20OR%20%271%27=%271%27%20--%20"))
	})
	t.Run("hot load", func(t *testing.T) { reloads(t, g, policy("blue", enough)) })
}

// reloads has the firewall look for another word: all instances start anew, a second of CPU
// each, while the old ones serve.
func reloads(t *testing.T, g *gateway, blueIsRefused files) {
	const harmless, red, blue = site + "/a?id=2", site + "/a?word=red", site + "/a?word=blue"
	status := func(url string) int { return get(t, g.h1, url).StatusCode }
	require.Equal(t, []int{406, 200}, []int{status(red), status(blue)})
	g.put(blueIsRefused)
	done := make(chan error, 1)
	go func() { done <- g.Reload(t.Context()) }() // waited for below
	served := 0
	for ended := false; !ended; {
		select {
		case err := <-done:
			require.NoError(t, err)
			ended = true
		default:
			require.Equal(t, 200, status(harmless))
			served++
		}
	}
	assert.Positive(t, served, "requests went on while the firewall started")
	require.Equal(t, []int{200, 406, 200}, []int{status(red), status(blue), status(harmless)})
}
