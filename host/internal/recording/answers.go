package recording

import (
	"slices"

	"github.com/wasmgate/wasmgate/abi/v1/casefile"
	"github.com/wasmgate/wasmgate/host/model"
)

// learnAnswers learns from what capabilities answered.
func (r *redactor) learnAnswers(answers []casefile.HostCall) {
	for _, a := range answers {
		if a.Call == casefile.CallSecret {
			r.learn(a.Value)
		}
		r.tokens(a.Value)
		if a.Answer != nil {
			for _, h := range a.Answer.Headers {
				r.learnHeader("response_header", string(h[0]), h[1])
			}
			r.learnBody(a.Answer.Body)
		}
	}
}

// redactAnswers is answers without secrets; cut is added to by those whose bodies were cut.
func (r *redactor) redactAnswers(answers []casefile.HostCall, cut *[]string) []casefile.HostCall {
	out := slices.Clone(answers)
	for i := range out {
		a := &out[i]
		where := "answer." + a.Call
		if a.Call == casefile.CallSecret {
			a.Value = r.all(where, a.Value)
		} else if a.Value != nil {
			a.Value = r.text(where, a.Value)
		}
		if a.Answer == nil {
			continue
		}
		answer := &casefile.HTTPAnswer{Status: a.Answer.Status}
		for _, h := range a.Answer.Headers {
			answer.Headers = append(answer.Headers, casefile.Pair{h[0], r.header("response_header", string(h[0]), h[1])})
		}
		if len(a.Answer.Body) > maxBody {
			*cut = append(*cut, where)
		}
		body := a.Answer.Body[:min(len(a.Answer.Body), maxBody)]
		answer.Body = r.places(where, body, r.rules.bodyPlaces(body))
		a.Answer = answer
	}
	return out
}

// grants are a policy's grants by the contract's names, without secrets.
func (r *redactor) grants(g model.Grants) map[string][]string {
	out := map[string][]string{}
	for name, list := range map[string][]string{"http": g.HTTP, "kv": g.KV, "secrets": g.Secrets, "jwks": g.JWKS} {
		for _, s := range list {
			out[name] = append(out[name], string(r.text("", []byte(s))))
		}
	}
	return out
}
