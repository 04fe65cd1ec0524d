package host_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/model"
)

// double answers for the host's powers as the current case says.
type double struct{ *casefile.Host }

func (d *double) powers() guest.Powers {
	return guest.Powers{HTTP: d, KV: d, JWKS: d, Secrets: d.secret}
}

// granted is what a case has answers for; every power is granted for something.
func granted(h *casefile.Host) model.Grants {
	const unused = "unused.test"
	g := model.Grants{HTTP: []string{unused}, KV: []string{""}, Secrets: []string{unused}, JWKS: []string{"https://" + unused}}
	for _, key := range h.JWKS {
		g.JWKS = append(g.JWKS, key.URL)
	}
	for _, answer := range h.HTTP {
		host, _, _ := strings.Cut(strings.TrimPrefix(answer.URL, "https://"), "/")
		g.HTTP = append(g.HTTP, host)
	}
	g.Secrets = slices.AppendSeq(g.Secrets, maps.Keys(h.Secrets))
	return g
}

// Do answers an outbound call.
func (d *double) Do(_ context.Context, c guest.Outbound) (a guest.Answer, err error) {
	var w abi.Writer[abi.ResultField]
	record := make([]byte, 1<<20)
	w.Start(record, 0, 2)
	w.String(abi.ResultHTTPMethod, c.Method)
	w.String(abi.ResultHTTPURL, c.URL)
	n, err := w.Finish()
	if err != nil {
		return a, err
	}
	answer, status := d.HTTPCall(record[:n])
	switch abi.Status(status) {
	case abi.StatusOK:
	case abi.StatusTimeout:
		return a, context.DeadlineExceeded
	default:
		return a, fmt.Errorf("call %s: %v", c.URL, abi.Status(status))
	}
	r, err := abi.ParseRequest(answer)
	if err != nil {
		return a, err
	}
	code, _ := r.Uint(abi.FieldHTTPStatus)
	a = guest.Answer{Status: int(code), Body: slices.Clone(r.Bytes(abi.FieldHTTPBody))}
	for name, value := range r.Pairs(abi.FieldHTTPHeaders).All {
		a.Headers = append(a.Headers, guest.Header{Name: string(name), Value: string(value)})
	}
	return a, nil
}

// Get reads a stored value.
func (d *double) Get(_, key string) ([]byte, bool) {
	value, status := d.KVGet(key)
	return value, status == 0
}

// Set stores a value for as long as the case runs.
func (d *double) Set(_, key string, value []byte, ttl time.Duration) bool {
	return d.KVSet(key, value, ttl.Milliseconds()) == 0
}

// Delete removes a value.
func (d *double) Delete(_, key string) { d.KVDelete(key) }

// Verify answers for a key set.
func (d *double) Verify(_ context.Context, url string, token []byte) abi.Status {
	return abi.Status(d.JWKSVerify(url, string(token)))
}

func (d *double) secret(name string) ([]byte, bool) {
	s, ok := d.Secrets[name]
	return []byte(strings.Clone(s)), ok
}
