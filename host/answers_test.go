package host_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasmgate/wasmgate/host/internal/http1/cases"
)

const upstreamCanary = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary"

// ends tells whether the upstream must close its connection behind the case's bytes: it is
// their end, or what makes them wrong.
func ends(k cases.Case) bool {
	head, _, _ := strings.Cut(strings.ToLower(string(k.Raw)), "\r\n\r\n")
	framed := strings.Contains(head, "content-length:") || strings.Contains(head, "transfer-encoding:")
	return k.Status == 504 || k.Close && !framed && k.Method != "HEAD" && k.Line == "200"
}

// TestHostileAnswers has an upstream give every answer of the corpora to clients of both
// protocols, each followed by a canary. What is broken is a 502 with its reason in the log,
// or a 504 when the connection ended, and the connection is not used again; what is valid
// reaches the client as it is.
func TestHostileAnswers(t *testing.T) {
	all := append(cases.Load("internal/http1/testdata/responses/*.txt"), cases.Load("testdata/answers/*.txt")...)
	require.GreaterOrEqual(t, len(all), 200)
	up := play(t, func(a asked, c net.Conn) bool {
		text, ok := strings.CutPrefix(a.target(), "/case/")
		if !ok {
			_, err := io.WriteString(c, upstreamCanary)
			return err == nil
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return false
		}
		answer := string(all[n].Raw)
		if strings.HasPrefix(all[n].Line, "1") { // informational: the final one follows
			answer += "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
		}
		_, err = io.WriteString(c, answer)
		return err == nil && !ends(all[n])
	})
	g := start(t, files{"apis/a.yaml": passing(up.url)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for n, k := range all {
			t.Run(k.File+"/"+k.Name, func(t *testing.T) {
				up.take()
				logged := len(g.log.String())
				var hints []http.Header
				trace := &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
					hints = append(hints, http.Header(h))
					return nil
				}}
				req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), k.Method, fmt.Sprint(site, "/case/", n), nil)
				require.NoError(t, err)
				a := do(t, c, req)
				switch {
				case k.Status != 0:
					answerRefused(t, k, a, g.log.String()[logged:])
				case k.Line[0] == '1':
					require.Equal(t, "200 ok", fmt.Sprint(a.StatusCode, " ", a.body))
					if k.Line != "100" && a.ProtoMajor == 2 { // Go's HTTP/1.1 client reads them, too, but tells of 103 alone
						require.Len(t, hints, 1)
					}
					for _, h := range hints {
						hasFields(t, k.Fields, h)
					}
				default:
					answerPassed(t, k, a)
				}
				require.Equal(t, "canary", get(t, c, site+"/canary").body)
				seen := up.take()
				require.Len(t, seen, 2, "the case and its canary, neither of them twice")
				require.Equal(t, k.Status == 0 && !k.Close, seen[0].connection == seen[1].connection, "the canary came on the case's connection")
			})
		}
	})
}

func answerRefused(t *testing.T, k cases.Case, a answer, log string) {
	require.Equal(t, k.Status, a.StatusCode)
	require.NotEmpty(t, a.Header.Get("X-Amzn-Errortype"))
	if k.Method != http.MethodHead {
		require.Contains(t, a.body, `{"message":`)
	}
	for _, f := range []string{"X", "Set-Cookie", "Location", "Upgrade", "Link"} {
		require.Empty(t, a.Header[f], "a field of a refused answer")
	}
	require.Contains(t, log, a.Header.Get("X-Amzn-Requestid"))
	require.Contains(t, log, k.Section, "the reason")
	require.Contains(t, log, "call upstream: ")
}

func answerPassed(t *testing.T, k cases.Case, a answer) {
	require.Equal(t, k.Line, strconv.Itoa(a.StatusCode))
	require.Equal(t, k.Body, a.body)
	hasFields(t, k.Fields, a.Header)
	hasFields(t, k.Trailer, a.Trailer)
	for _, f := range []string{"Keep-Alive", "Proxy-Connection", "Upgrade", "Te", "Proxy-Authenticate", "X-A", "X-B"} {
		require.Empty(t, a.Header[f], "a hop-by-hop field")
	}
	require.Len(t, a.Header["X-Amzn-Requestid"], 1)
}

// hasFields wants all values of each name, in their order.
func hasFields(t *testing.T, want []string, have http.Header) {
	t.Helper()
	values := http.Header{}
	for _, f := range want {
		name, value, _ := strings.Cut(f, ": ")
		values.Add(name, value)
	}
	values.Del("X-Amzn-Requestid") // the gateway's own
	for name, list := range values {
		require.Equal(t, list, have[name], name)
	}
}

// An answer that is cut off at any byte never looks whole to the client, and the request is
// neither sent twice nor is anything of it left for the next.
func TestAnswerCutAnywhere(t *testing.T) {
	answers := map[string]string{
		"fixed":   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Sum: 42\r\n\r\n",
		"hinted":  "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	}
	up := play(t, func(a asked, c net.Conn) bool {
		words := strings.Split(a.target(), "/")
		if len(words) < 3 {
			_, err := io.WriteString(c, upstreamCanary)
			return err == nil
		}
		n, err := strconv.Atoi(words[2])
		if err == nil {
			_, err = io.WriteString(c, answers[words[1]][:n])
		}
		return err == nil && n == len(answers[words[1]])
	})
	g := start(t, files{"apis/a.yaml": passing(up.url)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for name, text := range answers {
			for n := range len(text) + 1 {
				up.take()
				a, err := try(t, c, "POST", fmt.Sprint(site, "/", name, "/", n), "body")
				what := fmt.Sprintf("%q", text[:n])
				switch {
				case n == len(text):
					require.NoError(t, err, what)
					require.Equal(t, "200 hello", fmt.Sprint(a.StatusCode, " ", a.body), what)
				case err == nil:
					require.Equal(t, 504, a.StatusCode, what)
					require.NotEmpty(t, a.Header.Get("X-Amzn-Errortype"), what)
				}
				require.Equal(t, "canary", get(t, c, site+"/canary").body, what)
				seen := up.take()
				require.Len(t, seen, 2, what)
				require.Equal(t, n == len(text), seen[0].connection == seen[1].connection, what)
			}
		}
	})
}

// try sends a request whose answer may break off.
func try(t testing.TB, c *http.Client, method, url, body string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp, string(data)}, err
}

// Who is asked again when the upstream closes a kept connection without a byte of answer:
// what is idempotent and in memory, once; nothing else, since it may have been done.
func TestRepeatedRequests(t *testing.T) {
	up := playRaw(t, func(p *player, number int, c net.Conn) {
		for n := 0; ; n++ {
			request, err := readSome(c)
			if request == "" || err != nil {
				return
			}
			p.note(asked{request, number})
			if n > 0 || strings.Contains(request, "/always") {
				return // after the first request of each connection: none is answered
			}
			if _, err := io.WriteString(c, upstreamCanary); err != nil {
				return
			}
		}
	})
	g := start(t, files{"apis/a.yaml": passing(up.url)})
	long := strings.Repeat("x", 40_000)
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, tt := range []struct {
			method, body string
			repeated     bool
		}{
			{"GET", "", true}, {"HEAD", "", true}, {"OPTIONS", "", true}, {"DELETE", "", true},
			{"PUT", "", true}, {"PUT", "body", true}, {"DELETE", "body", true},
			{"PUT", long, false}, // not in memory
			{"POST", "", false}, {"POST", "body", false}, {"POST", long, false}, {"PATCH", "body", false},
		} {
			t.Run(fmt.Sprint(tt.method, " ", len(tt.body)), func(t *testing.T) {
				g.freshUpstream(t, c)
				up.take()
				a, err := try(t, c, tt.method, site+"/once", tt.body)
				require.NoError(t, err)
				seen := starts(up.take())
				if !tt.repeated {
					require.Equal(t, 504, a.StatusCode)
					require.Len(t, seen, 1, "sent once")
					return
				}
				require.Equal(t, 200, a.StatusCode)
				require.Len(t, seen, 2, "sent twice")
				require.Equal(t, seen[0].request, seen[1].request, "all of it, byte for byte")
				require.NotEqual(t, seen[0].connection, seen[1].connection)
				require.Contains(t, seen[1].request, tt.body)
			})
		}
		t.Run("no more than once", func(t *testing.T) {
			g.freshUpstream(t, c)
			up.take()
			require.Equal(t, 504, get(t, c, site+"/always").StatusCode)
			require.Len(t, starts(up.take()), 2)
		})
	})
}

// freshUpstream leaves the gateway with one kept connection that has answered once.
func (g *gateway) freshUpstream(t *testing.T, c *http.Client) {
	t.Helper()
	for range 3 { // a kept one may be at its end
		if get(t, c, site+"/ready").StatusCode == 200 && g.metric("wasmgate_upstream_connections") == 1 {
			return
		}
	}
	t.Fatal("the upstream does not answer")
}

// starts are the requests in what was read, without the rest of long bodies.
func starts(list []asked) (out []asked) {
	for _, a := range list {
		if strings.Contains(a.request, " HTTP/1.1\r\n") {
			out = append(out, a)
		}
	}
	return out
}

// readSome reads a request, whose body is taken from the same piece.
func readSome(c net.Conn) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	if n == 0 && err == nil {
		err = errors.New("nothing")
	}
	return string(buf[:n]), err
}

// What an upstream sends on a kept connection before anybody asks it answers no request,
// whatever the next one is.
func TestUnaskedAnswers(t *testing.T) {
	said := make(chan struct{})
	up := play(t, func(a asked, c net.Conn) bool {
		_, err := io.WriteString(c, upstreamCanary)
		if a.target() == "/first" {
			_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
			said <- struct{}{}
		}
		return err == nil
	})
	g := start(t, files{"apis/a.yaml": passing(up.url)})
	g.each(t, func(t *testing.T, c *http.Client) {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			for _, body := range []string{"", "body", strings.Repeat("x", 40_000)} {
				up.take()
				require.Equal(t, "canary", get(t, c, site+"/first").body)
				<-said
				a, err := try(t, c, method, site+"/second", body)
				require.NoError(t, err)
				require.Equal(t, "200 canary", fmt.Sprint(a.StatusCode, " ", a.body))
				seen := up.take()
				require.Len(t, seen, 2)
				require.NotEqual(t, seen[0].connection, seen[1].connection)
			}
		}
	})
}

// A connection that the upstream closed while it was kept costs no request, whatever the
// method and wherever the body is: nothing was sent on it.
func TestClosedWhileIdle(t *testing.T) {
	closed := make(chan struct{})
	up := playRaw(t, func(p *player, number int, c net.Conn) {
		request, err := readCanonical(bufio.NewReader(c))
		if err != nil {
			return
		}
		p.note(asked{request, number})
		io.WriteString(c, upstreamCanary)
		c.Close()
		closed <- struct{}{}
	})
	g := start(t, files{"apis/a.yaml": passing(up.url)})
	long := strings.Repeat("x", 40_000)
	g.each(t, func(t *testing.T, c *http.Client) {
		for range 5 {
			for _, tt := range [][2]string{{"GET", ""}, {"POST", ""}, {"POST", "body"}, {"POST", long}, {"PUT", long}, {"PATCH", "body"}} {
				a, err := try(t, c, tt[0], site+"/x", tt[1])
				require.NoError(t, err)
				require.Equal(t, "200 canary", fmt.Sprint(a.StatusCode, " ", a.body), tt[0])
				<-closed // and its end is here: the loopback has no way
				require.Len(t, up.take(), 1)
			}
		}
	})
}
