// A web application firewall for proxy-wasm: Coraza with the OWASP Core Rule Set inside. Its
// config is Coraza's directives.
package main

import (
	"errors"
	"fmt"
	"strconv"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	ctypes "github.com/corazawaf/coraza/v3/types"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func init() { proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} }) }

func main() {}

type plugin struct {
	types.DefaultPluginContext
	waf coraza.WAF
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	directives, err := proxywasm.GetPluginConfiguration()
	if err != nil && !errors.Is(err, types.ErrorStatusNotFound) {
		proxywasm.LogErrorf("read config: %v", err)
		return types.OnPluginStartStatusFailed
	}
	p.waf, err = coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(string(directives)).
		WithErrorCallback(func(rule ctypes.MatchedRule) { proxywasm.LogWarn(rule.ErrorLog()) }))
	if err != nil {
		proxywasm.LogErrorf("read rules: %v", err)
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext {
	return &stream{tx: p.waf.NewTransaction()}
}

// stream is one request on its way through the rules.
type stream struct {
	types.DefaultHttpContext
	tx   ctypes.Transaction
	body bool // the rules have seen all of the request's body
}

func (s *stream) OnHttpRequestHeaders(_ int, end bool) types.Action {
	headers, err := proxywasm.GetHttpRequestHeaders()
	if err != nil {
		panic(err)
	}
	pseudo := map[string]string{}
	for _, h := range headers {
		if h[0][0] == ':' {
			pseudo[h[0]] = h[1]
		} else {
			s.tx.AddRequestHeader(h[0], h[1])
		}
	}
	s.tx.AddRequestHeader("host", pseudo[":authority"])
	s.tx.SetServerName(pseudo[":authority"])
	address, err := proxywasm.GetProperty([]string{"source", "address"})
	if err != nil {
		panic(err)
	}
	protocol, err := proxywasm.GetProperty([]string{"request", "protocol"})
	if err != nil {
		panic(err)
	}
	s.tx.ProcessConnection(string(address), 0, "", 0)
	s.tx.ProcessURI(pseudo[":path"], pseudo[":method"], string(protocol))
	if s.refused(s.tx.ProcessRequestHeaders()) {
		return types.ActionPause
	}
	if end && s.requestEnds() {
		return types.ActionPause
	}
	return types.ActionContinue
}

func (s *stream) OnHttpRequestBody(size int, end bool) types.Action {
	if size > 0 && !s.body {
		// While the stream is paused the buffer is all that came: only the end is read.
		if !end {
			return types.ActionPause
		}
		body, err := proxywasm.GetHttpRequestBody(0, size)
		if err != nil {
			panic(err)
		}
		interruption, _, err := s.tx.WriteRequestBody(body)
		if err != nil {
			panic(err)
		}
		if s.refused(interruption) {
			return types.ActionPause
		}
	}
	if end && s.requestEnds() {
		return types.ActionPause
	}
	return types.ActionContinue
}

// requestEnds runs the rules of the body; true is a refusal.
func (s *stream) requestEnds() bool {
	s.body = true
	interruption, err := s.tx.ProcessRequestBody()
	if err != nil {
		panic(err)
	}
	return s.refused(interruption)
}

func (s *stream) OnHttpResponseHeaders(_ int, _ bool) types.Action {
	if s.tx.IsInterrupted() {
		return types.ActionContinue // its own answer
	}
	headers, err := proxywasm.GetHttpResponseHeaders()
	if err != nil {
		panic(err)
	}
	status := 0
	for _, h := range headers {
		if h[0] == ":status" {
			status, _ = strconv.Atoi(h[1])
		} else {
			s.tx.AddResponseHeader(h[0], h[1])
		}
	}
	if s.refused(s.tx.ProcessResponseHeaders(status, "HTTP/1.1")) {
		return types.ActionPause
	}
	return types.ActionContinue
}

// refused answers the request when a rule says so.
func (s *stream) refused(i *ctypes.Interruption) bool {
	if i == nil {
		return false
	}
	err := proxywasm.SendHttpResponse(uint32(i.Status), [][2]string{{"x-rule", strconv.Itoa(i.RuleID)}}, fmt.Appendf(nil, "refused by rule %d", i.RuleID), -1)
	if err != nil {
		panic(err)
	}
	return true
}

func (s *stream) OnHttpStreamDone() {
	s.tx.ProcessLogging()
	_ = s.tx.Close() // a memory buffer has no error
}
