package host_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host"
)

// manyRoutes is an API document of n routes with three policies for all.
func manyRoutes(n int) string {
	var b strings.Builder
	b.WriteString(`openapi: 3.0.3
info: {title: many, version: "1"}
x-wasmgate-api: {id: many, stage: prod}
x-wasmgate-policies:
  - {plugin: ip-rules, config: {deny: ["192.0.2.0/24"]}}
  - {plugin: rate-limit, config: {rate: 1000, burst: 1000, by: address}}
  - {plugin: transform, config: {request: {headers: {set: {x-from: "${source_ip}"}}}}}
paths:
`)
	for i := range n {
		fmt.Fprintf(&b, `  /things/%d/{id}:
    get:
      x-amazon-apigateway-integration: {type: http_proxy, httpMethod: GET, uri: "http://127.0.0.1:9/things/%d/{id}"}
`, i, i)
	}
	return b.String()
}

// BenchmarkSnapshot builds a snapshot of 10,000 routes from its files, as a reload of a
// changed document does, the first build of the plugins left out.
func BenchmarkSnapshot(b *testing.B) {
	options := prepare(b, b.TempDir(), files{"apis/many.yaml": manyRoutes(10_000)})
	_, err := host.Validate(context.Background(), options)
	require.NoError(b, err)
	for b.Loop() {
		report, err := host.Validate(context.Background(), options)
		require.NoError(b, err)
		require.Equal(b, 10_000, report.Routes)
	}
}

// BenchmarkReload swaps a document of 10,000 routes on a gateway that runs.
func BenchmarkReload(b *testing.B) {
	g := start(b, files{"apis/many.yaml": manyRoutes(10_000)})
	i := 0
	for b.Loop() {
		i++
		g.put(files{"apis/many.yaml": strings.Replace(manyRoutes(10_000), "title: many", fmt.Sprintf("title: many %d", i), 1)})
		require.NoError(b, g.Reload(context.Background()))
	}
}

// BenchmarkMemory prints the memory that 5,000 routes take beyond a gateway with one.
func BenchmarkMemory(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		g := start(b, files{"apis/many.yaml": manyRoutes(1)})
		before := heap()
		g.put(files{"apis/many.yaml": manyRoutes(5_000)})
		require.NoError(b, g.Reload(context.Background()))
		b.ReportMetric(float64(int64(heap())-int64(before))/(1<<20), "MB/5000routes")
	}
}
