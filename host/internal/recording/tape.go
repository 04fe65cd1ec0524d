package recording

import (
	"bytes"
	"context"
	"errors"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
)

// tape notes what capabilities answer to one guest, and not what it asked: that may hold
// secrets, and the worker's run asks again. It belongs to one goroutine at a time.
type tape struct {
	powers  guest.Powers // what answers
	answers []casefile.HostCall
	bytes   int
}

// guest is what the call's capabilities reach. A power that there is not stays none.
func (t *tape) guest() *guest.Powers {
	p := t.powers
	p.KV = t
	if p.HTTP != nil {
		p.HTTP = t
	}
	if p.JWKS != nil {
		p.JWKS = t
	}
	if p.Secrets != nil {
		p.Secrets = t.secret
	}
	return &p
}

func (t *tape) note(c casefile.HostCall) {
	t.bytes += len(c.Value) + 64
	if a := c.Answer; a != nil {
		t.bytes += len(a.Body)
		for _, h := range a.Headers {
			t.bytes += len(h[0]) + len(h[1])
		}
	}
	if t.bytes <= maxItem { // more is not recorded, and not held
		t.answers = append(t.answers, c)
	}
}

// Do makes an outbound call.
func (t *tape) Do(ctx context.Context, c guest.Outbound) (guest.Answer, error) {
	a, err := t.powers.HTTP.Do(ctx, c)
	note := casefile.HostCall{Call: casefile.CallHTTP}
	if err != nil {
		status := abi.StatusUnavailable
		if named, ok := errors.AsType[guest.StatusError](err); ok {
			status = abi.Status(named)
		} else if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
			status = abi.StatusTimeout
		}
		note.Status = casefile.StatusName(status)
	} else {
		note.Answer = &casefile.HTTPAnswer{Status: a.Status, Body: bytes.Clone(a.Body)}
		for _, h := range a.Headers {
			note.Answer.Headers = append(note.Answer.Headers, casefile.Pair{casefile.Bytes(h.Name), casefile.Bytes(h.Value)})
		}
	}
	t.note(note)
	return a, err
}

// Get reads a value.
func (t *tape) Get(plugin, key string) ([]byte, bool) {
	value, ok := t.powers.KV.Get(plugin, key)
	t.note(casefile.HostCall{Call: casefile.CallKVGet, Value: value, Status: unless(ok, abi.StatusNotFound)})
	return value, ok
}

// Set stores a value.
func (t *tape) Set(plugin, key string, value []byte, ttl time.Duration) bool {
	ok := t.powers.KV.Set(plugin, key, value, ttl)
	t.note(casefile.HostCall{Call: casefile.CallKVSet, Status: unless(ok, abi.StatusLimit)})
	return ok
}

// Delete removes a value.
func (t *tape) Delete(plugin, key string) {
	t.powers.KV.Delete(plugin, key)
	t.note(casefile.HostCall{Call: casefile.CallKVDelete})
}

// Verify checks a signature.
func (t *tape) Verify(ctx context.Context, url string, token []byte) abi.Status {
	s := t.powers.JWKS.Verify(ctx, url, token)
	t.note(casefile.HostCall{Call: casefile.CallJWKS, Status: casefile.StatusName(s)})
	return s
}

func (t *tape) secret(name string) ([]byte, bool) {
	value, ok := t.powers.Secrets(name)
	t.note(casefile.HostCall{Call: casefile.CallSecret, Value: value, Status: unless(ok, abi.StatusNotFound)})
	return value, ok
}

func unless(ok bool, s abi.Status) casefile.StatusName {
	if ok {
		return 0
	}
	return casefile.StatusName(s)
}

// player answers a run from tapes: to each kind of call its answers, in their order.
type player struct {
	answers map[string][]casefile.HostCall
	made    []casefile.HostCall // each with its answer; never nil
}

func newPlayer(tapes ...[]casefile.HostCall) *player {
	p := &player{answers: map[string][]casefile.HostCall{}, made: []casefile.HostCall{}}
	for _, t := range tapes {
		for _, a := range t {
			p.answers[a.Call] = append(p.answers[a.Call], a)
		}
	}
	return p
}

// answer is for [casefile.Host]. What live was not asked is unavailable.
func (p *player) answer(asked casefile.HostCall) casefile.HostCall {
	asked = cloned(asked)
	if list := p.answers[asked.Call]; len(list) > 0 {
		p.answers[asked.Call] = list[1:]
		asked.Answer, asked.Status = list[0].Answer, list[0].Status
		if asked.Call != casefile.CallKVSet {
			asked.Value = list[0].Value
		}
	} else {
		asked.Status = casefile.StatusName(abi.StatusUnavailable)
	}
	p.made = append(p.made, asked)
	return asked
}

// cloned is c without the guest's memory.
func cloned(c casefile.HostCall) casefile.HostCall {
	for _, b := range []*casefile.Bytes{&c.Key, &c.Name, &c.Method, &c.URL, &c.Body, &c.Token, &c.Value} {
		*b = bytes.Clone(*b)
	}
	for i, h := range c.Headers {
		c.Headers[i] = casefile.Pair{bytes.Clone(h[0]), bytes.Clone(h[1])}
	}
	return c
}
