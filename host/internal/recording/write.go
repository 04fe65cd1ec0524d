package recording

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	abi "github.com/wasmgate/wasmgate/abi/v1"
	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/workbench"
)

// write makes a case of a call and writes it. The error says why the outcome is not Written.
func (r *Recorder) write(c *Call) (outcome string, err error) {
	p := c.policy
	rules := r.options.Known()
	rules.Redact, rules.Reveal = p.record.Redact, p.record.Reveal
	secrets := newRedactor(rules.ready())
	request, err := abi.ParseRequest(c.request)
	if err != nil {
		return Failed, err
	}
	secrets.learnCall(c, request)
	one, answers, err := secrets.makeCase(c, request)
	if err != nil {
		return Failed, err
	}
	bench := workbench.On(r.options.Engine, p.module, p.id)
	player := newPlayer(answers...)
	one.Host.Answer = player.answer
	o := bench.Run(r.ctx, one)
	if o.Refused != nil {
		return Refused, fmt.Errorf("without the values of references, and record with reveal: [config] keeps them: %w", o.Refused)
	}
	if err := want(one, o); err != nil {
		return Refused, err
	}
	one.Host.Answer, one.Host.Calls = nil, player.made
	text, err := one.Encode()
	if err != nil {
		return Failed, err
	}
	// What does not come out the same at once will not on another machine: nobody is served
	// by a file that says otherwise. It is read as a stranger would read it.
	again, err := casefile.Parse(text)
	if err != nil {
		return Failed, err
	}
	if err := bench.Run(r.ctx, again[0]).Check(again[0]); err != nil {
		return Unstable, err
	}
	one.Live.Changed = secrets.changed(c, one)
	if text, err = one.Encode(); err != nil {
		return Failed, err
	}
	r.number++
	r.store.max = r.options.MaxBytes()
	name := fmt.Sprintf("%s-%s-%06d", c.time.UTC().Format("20060102T150405.000Z"), c.hook, r.number)
	switch err := r.store.write(p.id, name, text); {
	case errors.Is(err, errTooLarge):
		return Large, err
	case err != nil:
		return Failed, err
	}
	return Written, nil
}

// want makes the case want what came of it.
func want(one *casefile.Case, o workbench.Outcome) error {
	one.Fuel, one.Exact = o.Fuel, true
	if o.Err == nil {
		one.Log = append([]string{}, o.Logged...)
		return one.SetResult(o.Result, nil)
	}
	failure, ok := errors.AsType[*guest.Error](o.Err)
	if !ok || failure.Hook != one.Hook {
		return o.Err // it was not the hook that failed
	}
	return one.SetResult(nil, &casefile.Trap{Kind: string(failure.Kind), Text: failure.Err.Error(), Stack: guest.Stack(failure.Err)})
}

// learnCall learns every secret that there is in a call.
func (r *redactor) learnCall(c *Call, request abi.Request) {
	for _, f := range c.fields {
		if f.of == "header" {
			r.learnHeader(f.of, f.name, f.value)
		} else if r.rules.member(f.of, f.name) {
			r.learn(f.value)
		}
	}
	r.learnQuery([]byte(c.query))
	r.learnRequest(request)
	r.learnAnswers(c.policy.configure)
	r.learnAnswers(c.tape.answers)
	r.tokens(c.policy.binding.Config)
}

// makeCase is the case without what it must come to, and the answers for its run: to
// configure and to the hook.
func (r *redactor) makeCase(c *Call, request abi.Request) (*casefile.Case, [][]casefile.HostCall, error) {
	p := c.policy
	digest := p.module.Digest()
	fields, cut, err := r.request(request)
	if err != nil {
		return nil, nil, err
	}
	one := &casefile.Case{
		Name: fmt.Sprintf("%s at %s", c.hook, c.time.UTC().Format(time.RFC3339Nano)), Hook: c.hook,
		Module: &casefile.Module{ID: p.id, SHA256: hex.EncodeToString(digest[:])},
		Limits: casefile.Limits{Fuel: p.binding.Fuel, Memory: p.binding.Memory},
		Config: r.config(p.binding.Config), Host: &casefile.Host{Grants: r.grants(p.binding.Grants)},
		Live: &casefile.Live{Time: c.time.UTC().Format(time.RFC3339Nano), RequestID: c.id, Fuel: c.fuel},
	}
	if m := p.module.Manifest(); m != nil {
		one.Module.Version = m.Version
	}
	one.SetRequest(fields)
	answers := [][]casefile.HostCall{r.redactAnswers(p.configure, &cut), r.redactAnswers(c.tape.answers, &cut)}
	one.Live.Redacted, one.Live.Cut = r.where, cut
	if live, err := abi.ParseResult(c.result, c.hook); err == nil && c.err == nil {
		decision, _ := live.Uint(abi.ResultDecision)
		one.Live.Decision = abi.Decision(decision).String()
		one.Live.Status, _ = live.Uint(abi.ResultStatus)
	}
	if failure, ok := errors.AsType[*guest.Error](c.err); ok {
		one.Live.Trap = string(failure.Kind)
	}
	if err := one.SetResult(nil, nil); err != nil { // to be read back as it will be read
		return nil, nil, err
	}
	text, err := one.Encode()
	if err != nil {
		return nil, nil, err
	}
	read, err := casefile.Parse(text)
	if err != nil {
		return nil, nil, err
	}
	return read[0], answers, nil
}

// changed are the fields of the live result that the case has otherwise, placeholders aside.
func (r *redactor) changed(c *Call, one *casefile.Case) []string {
	if (c.err != nil) != (one.Trap != nil) || one.Trap != nil && one.Trap.Kind != one.Live.Trap {
		return []string{"trap"}
	}
	live, err := abi.ParseResult(c.result, c.hook)
	if c.err != nil || err != nil {
		return nil
	}
	got, want := casefile.Decode(live), one.Result()
	names := maps.Clone(got)
	maps.Copy(names, want)
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if r.jsonText(got[name]) != r.jsonText(want[name]) {
			changed = append(changed, strings.Clone(name))
		}
	}
	return changed
}
