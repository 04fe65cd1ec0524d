package listen

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/problem"
)

// redirector answers on the plain listener: ACME's challenges, and for everything else
// the same URL with https. It closes after each answer: nobody has a second question.
type redirector struct {
	port      uint16
	challenge func(host, path string) (body []byte, ok bool)
}

// ServeExchange implements exchange.Handler.
func (d *redirector) ServeExchange(x *exchange.Exchange) {
	x.Response.CloseConnection = true
	host := hostOf(x.Authority)
	switch {
	case host == "" || x.Target[0] != '/':
		problem.BadRequest.Problem().Write(x)
		return
	case strings.HasPrefix(x.Target, "/.well-known/acme-challenge/"):
		d.answerChallenge(x, host)
		return
	}
	// The location names the host that the client itself asked for, whose bytes http1
	// has checked; a path of two slashes stays behind a host and cannot become one.
	location := "https://" + host
	if d.port != 443 {
		location += ":" + strconv.Itoa(int(d.port))
	}
	location += x.Target
	if x.Query != "" || x.EmptyQuery {
		location += "?" + x.Query
	}
	x.Response.Status = http.StatusPermanentRedirect
	x.Response.Header.Add("location", location)
}

func (d *redirector) answerChallenge(x *exchange.Exchange, host string) {
	if d.challenge != nil && (x.Method == http.MethodGet || x.Method == http.MethodHead) {
		if body, ok := d.challenge(strings.Trim(host, "[]"), x.Target); ok {
			x.Response.Status = http.StatusOK
			x.Response.Header.Add("content-type", "application/octet-stream")
			x.Response.SetBody(body)
			return
		}
	}
	problem.NotFound.Problem().Write(x)
}

// hostOf is an authority without its port; brackets stay.
func hostOf(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return authority
}
