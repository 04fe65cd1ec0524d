package route

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/model"
)

// naive is the rules read from the list of routes, one by one.
func naive(a API[string], method, path string) string {
	path = strings.TrimSuffix(path, "/")
	var got []string
	if path != "" {
		got = strings.Split(path[1:], "/")
	}
	inANY := a.Protocol == model.HTTP || strings.Contains(" DELETE GET HEAD OPTIONS PATCH POST PUT ", " "+method+" ")
	best, bestRank := "no route", ""
	for _, r := range a.Routes {
		rank := "1"
		if r.Method != method {
			if rank = "2"; r.Method != "ANY" || !inANY {
				continue
			}
		}
		if r.Path == model.DefaultPath {
			rank = "z"
		} else if kinds, ok := naiveMatch(r.Path, got); !ok {
			continue
		} else if a.Protocol == model.HTTP {
			rank = fmt.Sprint(strings.Contains(kinds, "3")) + kinds + rank // false before true
		} else {
			rank = kinds + rank
		}
		if bestRank == "" || rank < bestRank {
			best, bestRank = r.Value, rank
		}
	}
	return best
}

// naiveMatch tells the kinds of the segments that match: 1 literal, 2 {x}, 3 {proxy+}.
func naiveMatch(pattern string, got []string) (kinds string, ok bool) {
	want, _ := model.ParsePath(pattern)
	for i, s := range want {
		switch {
		case i >= len(got):
			return "", false
		case s.Kind == model.Greedy:
			return kinds + "3", strings.Join(got[i:], "/") != ""
		case s.Kind == model.Variable && got[i] != "":
			kinds += "2"
		case s.Kind == model.Literal && got[i] == s.Text:
			kinds += "1"
		default:
			return "", false
		}
	}
	return kinds, len(got) == len(want)
}

// words meet often in few bytes.
var words = []string{"a", "b", "c", "{x}", "{x}", "{p+}", "a%2Fb", "", "a;b", "%61", "~"}

// described is an API whose routes the bytes describe: a zero ends a route, its first
// byte is the method, each other one a segment.
func described(protocol model.Protocol, routes []byte) API[string] {
	a := api(protocol)
	seen := map[string]bool{}
	for chunk := range strings.SplitSeq(string(routes), "\x00") {
		if chunk == "" {
			continue
		}
		path := ""
		for i, b := range []byte(chunk[1:]) {
			word := words[int(b)%6]
			if word == "{x}" {
				word = fmt.Sprintf("{x%d}", i) // one name for one place
			}
			path += "/" + word
			if word == "{p+}" {
				break
			}
		}
		r := Route[string]{[]string{"GET", "POST", "ANY", "TRACE"}[int(chunk[0])%4], "/" + strings.TrimPrefix(path, "/"), ""}
		if protocol == model.HTTP && chunk[0]%16 == 15 {
			r.Method, r.Path = "ANY", model.DefaultPath
		}
		r.Value = r.Method + " " + r.Path
		if segments, _ := model.ParsePath(r.Path); !seen[r.Value] && len(segments) <= MaxParams {
			seen[r.Value] = true
			a.Routes = append(a.Routes, r)
		}
	}
	return a
}

// filled is a route's path with the match's values in it.
func filled(t *testing.T, m *Match[string]) string {
	segments, err := model.ParsePath(m.Route.Path)
	require.NoError(t, err)
	path := ""
	for _, s := range segments {
		value, ok := s.Text, s.Kind == model.Literal
		if !ok {
			value, ok = m.Param(s.Text)
		}
		require.True(t, ok)
		path += "/" + value
	}
	return path
}

// The router must agree with the naive matcher.
func FuzzLookup(f *testing.F) {
	f.Add(false, []byte("\x12\x34\x56\x00\x78\x9a\x00\xbc\xde\xf0"), []byte("\x12\x34"), uint8(0))
	f.Add(true, []byte("\x01\x02\x03\x00\x04\x05\x06\x00\x07\x00\x0f"), []byte("\x01\x02\x03"), uint8(1))
	f.Add(true, []byte("\x0f\x00\x01\x03\x00\x02\x05"), []byte("\x06\x07\x08"), uint8(0))
	f.Fuzz(func(t *testing.T, http bool, routes, target []byte, method uint8) {
		protocol := model.REST
		if http {
			protocol = model.HTTP
		}
		a := described(protocol, routes)
		path := "/"
		for i, b := range target {
			if i > 0 {
				path += "/"
			}
			path += words[int(b)%len(words)]
		}
		table, err := Build([]API[string]{a}, Options{})
		require.NoError(t, err)
		name := []string{"GET", "POST", "TRACE", "QUERY"}[int(method)%4]
		clean := "/" + strings.TrimLeft(path, "/")
		want := naive(a, name, clean)
		if examine(path) == ambiguous && want != "no route" {
			if lax, ok := laxest(path); !ok || naive(a, name, lax) != want || naive(a, name, beforeQuery(lax)) != want {
				want = "bad path"
			}
		}
		var m Match[string]
		if got := table.Lookup(host1, name, path, &m); got != Found {
			require.Equal(t, want, got.String(), "%s %s in %v", name, path, a.Routes)
			return
		}
		require.Equal(t, want, m.Route.Value, "%s %s in %v", name, path, a.Routes)
		require.Equal(t, clean, m.Path)
		if m.Route.Path != model.DefaultPath {
			require.Equal(t, strings.TrimSuffix(clean, "/"), filled(t, &m), "the parameters are the path")
		}
	})
}
