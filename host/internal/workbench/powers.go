package workbench

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/model"
)

// nowhere is the grant of a power for which the case has no answer: a name that is never
// given away (RFC 2606).
const nowhere = "nothing.invalid"

// grants are what a case answers for. Values are stored under any key: one that is not in
// the case is not found.
func grants(h *casefile.Host) model.Grants {
	if g := h.Grants; g != nil { // the policy's, and what lets any module be bound
		with := func(name, more string) []string { return append(slices.Clone(g[name]), more) }
		return model.Grants{HTTP: with("http", nowhere), KV: with("kv", nowhere), Secrets: with("secrets", nowhere), JWKS: with("jwks", "https://"+nowhere)}
	}
	g := model.Grants{HTTP: []string{nowhere}, KV: []string{""}, Secrets: []string{nowhere}, JWKS: []string{"https://" + nowhere}}
	for name := range h.Secrets {
		g.Secrets = append(g.Secrets, name)
	}
	for _, k := range h.JWKS {
		g.JWKS = append(g.JWKS, k.URL)
	}
	for _, a := range h.HTTP {
		u, err := url.Parse(a.URL)
		if err != nil || u.Host == "" {
			continue // the guest cannot ask for it either
		}
		host := u.Host
		if u.Scheme == "http" {
			host = "http://" + host
		}
		g.HTTP = append(g.HTTP, host)
	}
	return g
}

// powers answer as the case that runs says. They are safe for concurrent use, since several
// instances of one policy may ask at once.
type powers struct {
	mu     sync.Mutex
	host   casefile.Host
	lines  []string
	logged []string // by the plugin, as case files have it
}

// use takes the answers of a case, which stay as they are in its file.
func (p *powers) use(h *casefile.Host) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host = *h
	p.host.KV = maps.Clone(h.KV)
	p.host.Rewind()
	p.lines, p.logged = nil, nil
}

// begin forgets what configuring logged: a case is about its call.
func (p *powers) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logged = nil
}

// rewind makes the first host call of a recorded case the next.
func (p *powers) rewind() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host.Rewind()
}

// result is what the plugin logged since begin, and how its host calls differ.
func (p *powers) result() (logged []string, differs error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logged, p.host.Check()
}

// line keeps a line of the plugin's.
func (p *powers) line(level slog.Level, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.logged) < maxLines {
		p.lines = append(p.lines, strings.ToLower(level.String())+": "+line)
		p.logged = append(p.logged, fmt.Sprintf("%d %s", int(level-slog.LevelDebug)/4, line))
	}
}

// take gives what was logged since use.
func (p *powers) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := p.lines
	p.lines = nil
	return lines
}

func (p *powers) guest() guest.Powers {
	return guest.Powers{HTTP: p, KV: p, JWKS: p, Secrets: p.secret, Line: p.line}
}

// Do answers an outbound call.
func (p *powers) Do(_ context.Context, c guest.Outbound) (guest.Answer, error) {
	var w abi.Writer[abi.ResultField]
	room := len(c.Method) + len(c.URL) + len(c.Body) + 128
	for _, h := range c.Headers {
		room += len(h.Name) + len(h.Value) + 8
	}
	record := make([]byte, room)
	w.Start(record, 0, 4)
	w.String(abi.ResultHTTPMethod, c.Method)
	w.String(abi.ResultHTTPURL, c.URL)
	w.BeginPairs(abi.ResultHTTPHeaders)
	for _, h := range c.Headers {
		w.PairStrings(h.Name, h.Value)
	}
	w.EndPairs()
	w.Bytes(abi.ResultHTTPBody, c.Body)
	n, err := w.Finish()
	if err != nil {
		return guest.Answer{}, err
	}
	p.mu.Lock()
	answer, status := p.host.HTTPCall(record[:n])
	p.mu.Unlock()
	if status != 0 {
		return guest.Answer{}, guest.StatusError(status)
	}
	r, err := abi.ParseRequest(answer)
	if err != nil {
		return guest.Answer{}, err
	}
	a := guest.Answer{Body: r.Bytes(abi.FieldHTTPBody)}
	code, _ := r.Uint(abi.FieldHTTPStatus)
	a.Status = int(code)
	for name, value := range r.Pairs(abi.FieldHTTPHeaders).All {
		a.Headers = append(a.Headers, guest.Header{Name: string(name), Value: string(value)})
	}
	return a, nil
}

// Verify answers for a key set.
func (p *powers) Verify(_ context.Context, url string, token []byte) abi.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return abi.Status(p.host.JWKSVerify(url, string(token)))
}

func (p *powers) secret(name string) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	value, status := p.host.Secret(name)
	return value, status == 0
}

// Get reads a value.
func (p *powers) Get(_, key string) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	value, status := p.host.KVGet(key)
	return value, status == 0
}

// Set stores a value until the next case.
func (p *powers) Set(_, key string, value []byte, ttl time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host.KVSet(key, value, ttl.Milliseconds()) == 0
}

// Delete removes a value.
func (p *powers) Delete(_, key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host.KVDelete(key)
}

// maxLines is how many lines of one case are kept.
const maxLines = 100

// logger keeps the lines of the engine and the plugin.
func (p *powers) logger() *slog.Logger { return slog.New(lines{p}) }

// lines is a slog.Handler that keeps levels and messages.
type lines struct{ p *powers }

// Enabled: a plugin's author sees every line.
func (l lines) Enabled(context.Context, slog.Level) bool { return true }

// Handle keeps a line.
func (l lines) Handle(_ context.Context, r slog.Record) error {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if len(l.p.lines) < maxLines {
		l.p.lines = append(l.p.lines, strings.ToLower(r.Level.String())+": "+r.Message)
	}
	return nil
}

// WithAttrs leaves out who says it: there is one plugin.
func (l lines) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup has nothing to group.
func (l lines) WithGroup(string) slog.Handler { return l }
