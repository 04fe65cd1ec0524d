package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGeneratedCodeIsCurrent(t *testing.T) {
	data, err := os.ReadFile("../codes.json")
	require.NoError(t, err)
	want, err := render(data)
	require.NoError(t, err)
	got, err := os.ReadFile("../code_gen.go")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run go generate ./host/internal/problem")
}

func TestRenderRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`[{"name":"A","status":400,"type":"T","message":"m","response":"R","doc":"D","x":1}]`: `unknown field "x"`,
		`[{"name":"A","status":200,"type":"T","message":"m","response":"R","doc":"D"}]`:       "status 200",
		`[{"name":"A","status":400,"type":"T","message":"m","response":"R"}]`:                 "doc must be set",
		`[{"name":"","status":400,"type":"T","message":"m","response":"R","doc":"D"}]`:        "empty or repeated",
	} {
		_, err := render([]byte(in))
		require.ErrorContains(t, err, want)
	}
}
