package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

func TestLook(t *testing.T) {
	key := elliptical(t)
	p := newProvider(t, public(key, "k1"))
	p.Start()
	u := serve(t, nil)
	g := start(t, files{
		"apis/a.yaml": document(`x-wasmgate-api: {id: api}`,
			at("/x", policies(`{plugin: jwt, config: {issuer: "`+p.URL+`", audience: [shop], cache_ttl_s: 0}, grants: {jwks: ["`+p.URL+`"]}, record: {}}`,
				`{plugin: transform, record: {}, config: {request: {headers: {set: {x-who: "${principal}"}}, query: {remove: [token]}}, response: {body: {set: {a: b}}}}}`), proxy(u.URL)))})
	tok := token(t, jose.ES256, key, "k1", p.good(nil))
	require.Equal(t, 200, get(t, g.h1, site+"/x?token=abcdefghijkl", bearer(tok), "Cookie: sid=0123456789").StatusCode)
	await(t, "r", func() bool { return g.metric("wasmgate_recordings_total") >= 3 })
	fmt.Println(g.log, tok)
	all, _ := filepath.Glob(g.dir + "/data/recordings/*/*")
	for _, f := range all {
		b, _ := os.ReadFile(f)
		fmt.Println(f, string(b))
	}
}
