package observe

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestCustomMetricsUnderLegalNames(t *testing.T) {
	o := New(Options{})
	requests := o.Custom("a", CustomCounter, "requests=by-host.é")
	requests.Add(3)
	require.Same(t, requests, o.Custom("a", CustomCounter, "requests=by-host.é"))
	o.Custom("b", CustomGauge, "level").Add(-2)
	level := o.Custom("c", CustomHistogram, "level") // of another kind
	level.Record(3)
	level.Record(1 << 40)
	want := `
# HELP wasmgate_custom_level Defined by a plugin.
# TYPE wasmgate_custom_level gauge
wasmgate_custom_level{name="level",plugin="b"} -2
# HELP wasmgate_custom_requests_by_host___total Defined by a plugin.
# TYPE wasmgate_custom_requests_by_host___total counter
wasmgate_custom_requests_by_host___total{name="requests=by-host.é",plugin="a"} 3
`
	require.NoError(t, testutil.GatherAndCompare(o.Gatherer(), strings.NewReader(want),
		"wasmgate_custom_level", "wasmgate_custom_requests_by_host___total"))
	families, err := o.Gatherer().Gather()
	require.NoError(t, err, "a scrape must not fail for what a plugin defines")
	found := false
	for _, f := range families {
		if f.GetName() == "wasmgate_custom_level_histogram" {
			h := f.GetMetric()[0].GetHistogram()
			found = h.GetSampleCount() == 2 && h.GetBucket()[1].GetCumulativeCount() == 0 && h.GetBucket()[2].GetCumulativeCount() == 1
		}
	}
	require.True(t, found)
}

func TestCustomMetricsAreBounded(t *testing.T) {
	o := New(Options{})
	for i := range maxCustom {
		require.NotNil(t, o.Custom("a", CustomGauge, strings.Repeat("x", i+1)))
	}
	require.Nil(t, o.Custom("a", CustomGauge, "y"))
	require.NotNil(t, o.Custom("b", CustomGauge, "y"))
}
