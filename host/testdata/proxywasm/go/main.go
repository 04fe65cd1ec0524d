// Command go is a plugin of proxy-wasm by its Go SDK; its config says which one of several.
package main

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() { proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} }) }

// plugin is the root context.
type plugin struct {
	types.DefaultPluginContext
	mode     string
	queue    uint32
	ballast  []byte
	received proxywasm.MetricCounter
	ticks    proxywasm.MetricCounter
	waiting  []uint32 // contexts that pause until a tick
}

// OnPluginStart implements types.PluginContext.
func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	config, err := proxywasm.GetPluginConfiguration()
	if err != nil && err != types.ErrorStatusNotFound {
		panic(err)
	}
	p.mode = string(config)
	switch p.mode {
	case "refuse":
		return types.OnPluginStartStatusFailed
	case "receiver":
		if p.queue, err = proxywasm.RegisterSharedQueue("events"); err != nil {
			panic(err)
		}
		p.received = proxywasm.DefineCounterMetric("received=items")
	case "ticker":
		p.ticks = proxywasm.DefineCounterMetric("ticks")
		fallthrough
	case "delay":
		if err := proxywasm.SetTickPeriodMilliSeconds(5); err != nil {
			panic(err)
		}
	case "counter":
		if err := proxywasm.SetSharedData("count", []byte("0"), 0); err != nil {
			panic(err)
		}
	case "heavy":
		// What a web application firewall does with its rules: memory, and a second of work.
		p.ballast = make([]byte, 96<<20)
		state := uint32(1)
		for range 2 {
			for i := 0; i < len(p.ballast); i++ {
				state = state*1664525 + 1013904223
				p.ballast[i] = byte(state >> 24)
			}
		}
	}
	return types.OnPluginStartStatusOK
}

// OnQueueReady implements types.PluginContext.
func (p *plugin) OnQueueReady(id uint32) {
	item, err := proxywasm.DequeueSharedQueue(id)
	if err != nil {
		panic(err)
	}
	proxywasm.LogInfof("received %s", item)
	p.received.Increment(1)
}

// OnTick implements types.PluginContext.
func (p *plugin) OnTick() {
	if p.mode == "ticker" {
		p.ticks.Increment(1)
	}
	for _, id := range p.waiting {
		if proxywasm.SetEffectiveContext(id) == nil {
			_ = proxywasm.ResumeHttpRequest()
		}
	}
	p.waiting = nil
}

// NewHttpContext implements types.PluginContext. Some plugins have a root context only.
func (p *plugin) NewHttpContext(id uint32) types.HttpContext {
	if p.mode == "receiver" || p.mode == "ticker" {
		return nil
	}
	return &stream{plugin: p, id: id}
}

// stream is one exchange.
type stream struct {
	types.DefaultHttpContext
	plugin *plugin
	id     uint32
	size   int
	said   bool
}

// OnHttpRequestHeaders implements types.HttpContext.
func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
	switch s.plugin.mode {
	case "headers":
		must(proxywasm.AddHttpRequestHeader("x-added", "by the plugin"))
		must(proxywasm.RemoveHttpRequestHeader("x-removed"))
		path, err := proxywasm.GetHttpRequestHeader(":path")
		must(err)
		if rest, ok := strings.CutPrefix(path, "/moved"); ok {
			must(proxywasm.ReplaceHttpRequestHeader(":path", "/elsewhere"+rest+"?x=%2F&y"))
			must(proxywasm.ReplaceHttpRequestHeader(":method", "PATCH"))
			must(proxywasm.ReplaceHttpRequestHeader(":authority", "other.test"))
		}
	case "panic":
		if who, _ := proxywasm.GetHttpRequestHeader("x-panic"); who != "" {
			panic("asked for by " + who)
		}
	case "auth":
		key, _ := proxywasm.GetHttpRequestHeader("x-key")
		_, err := proxywasm.DispatchHttpCall("auth", [][2]string{{":method", "GET"}, {":path", "/check?key=" + key}, {":authority", "auth.test"}},
			nil, nil, 2000, s.answered)
		must(err)
		return types.ActionPause
	case "counter":
		for {
			value, cas, err := proxywasm.GetSharedData("count")
			must(err)
			n, _ := strconv.Atoi(string(value))
			err = proxywasm.SetSharedData("count", strconv.AppendInt(nil, int64(n+1), 10), cas)
			if err == types.ErrorStatusCasMismatch {
				continue
			}
			must(err)
			must(proxywasm.AddHttpRequestHeader("x-count", strconv.Itoa(n+1)))
			return types.ActionContinue
		}
	case "sender":
		queue, err := proxywasm.ResolveSharedQueue("receiver", "events")
		must(err)
		must(proxywasm.EnqueueSharedQueue(queue, fmt.Appendf(nil, "item of %d", s.id)))
	case "delay":
		s.plugin.waiting = append(s.plugin.waiting, s.id)
		return types.ActionPause
	case "properties":
		var b strings.Builder
		for _, path := range []string{"request.path", "request.protocol", "connection.tls_version", "plugin_name", "request.url_path", "request.query", "source.address", "destination.address"} {
			value, err := proxywasm.GetProperty(strings.Split(path, "."))
			fmt.Fprintf(&b, "%s=%s %v\n", path, value, err)
		}
		port, err := proxywasm.GetProperty([]string{"source", "port"})
		must(err)
		fmt.Fprintf(&b, "port=%v\n", binary.LittleEndian.Uint64(port) > 0)
		must(proxywasm.SendHttpResponse(200, [][2]string{{"x-first", "1"}, {"x-first", "2"}}, []byte(b.String()), -1))
	}
	return types.ActionContinue
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// answered decides by what the authorizer said.
func (s *stream) answered(int, int, int) {
	headers, err := proxywasm.GetHttpCallResponseHeaders()
	must(err)
	body, err := proxywasm.GetHttpCallResponseBody(0, 1<<16)
	if err != types.ErrorStatusNotFound { // as the SDK says of an empty one
		must(err)
	}
	for _, h := range headers {
		if h[0] == "x-break" {
			panic("asked for by the answer")
		}
		if h[0] == ":status" && h[1] == "200" {
			must(proxywasm.AddHttpRequestHeader("x-user", string(body)))
			must(proxywasm.ResumeHttpRequest())
			return
		}
	}
	must(proxywasm.SendHttpResponse(401, [][2]string{{"www-authenticate", "Key"}}, append([]byte("refused: "), body...), -1))
}

// OnHttpRequestBody implements types.HttpContext.
func (s *stream) OnHttpRequestBody(size int, end bool) types.Action {
	switch s.plugin.mode {
	case "body":
		if !end {
			return types.ActionPause
		}
		body, err := proxywasm.GetHttpRequestBody(0, size)
		must(err)
		must(proxywasm.ReplaceHttpRequestBody([]byte("<" + strings.ToUpper(string(body)) + ">")))
	case "waf":
		body, err := proxywasm.GetHttpRequestBody(0, size)
		if err != nil && err != types.ErrorStatusNotFound {
			panic(err)
		}
		if strings.Contains(string(body), "attack") {
			must(proxywasm.SendHttpResponse(403, nil, []byte("blocked"), -1))
		}
		if !end {
			return types.ActionPause
		}
	case "late":
		// The verdict on the first piece comes while the client sends the next.
		if s.size == 0 {
			_, err := proxywasm.DispatchHttpCall("auth", [][2]string{{":method", "GET"}, {":path", "/check?key=none"}, {":authority", "auth.test"}},
				nil, nil, 2000, s.answered)
			must(err)
		}
		s.size += size
		return types.ActionPause
	case "ask":
		// The first piece waits until somebody has said something.
		if s.size == 0 {
			_, err := proxywasm.DispatchHttpCall("auth", [][2]string{{":method", "GET"}, {":path", "/"}, {":authority", "auth.test"}},
				nil, nil, 20_000, s.asked)
			must(err)
		}
		if s.size += size; !s.said {
			return types.ActionPause
		}
	case "stream":
		s.size += size
	}
	return types.ActionContinue
}

// asked lets the body go on, and logs the trailers of what was said.
func (s *stream) asked(_, _, n int) {
	trailers, err := proxywasm.GetHttpCallResponseTrailers()
	must(err)
	proxywasm.LogInfof("%d trailers: %v", n, trailers)
	s.said = true
	must(proxywasm.ResumeHttpRequest())
}

// OnHttpResponseHeaders implements types.HttpContext.
func (s *stream) OnHttpResponseHeaders(int, bool) types.Action {
	switch s.plugin.mode {
	case "headers":
		status, err := proxywasm.GetHttpResponseHeader(":status")
		must(err)
		must(proxywasm.AddHttpResponseHeader("x-status", status))
	case "body":
		must(proxywasm.RemoveHttpResponseHeader("content-length"))
	case "waf", "auth":
		must(proxywasm.AddHttpResponseHeader("x-passed", "yes"))
	}
	return types.ActionContinue
}

// OnHttpRequestTrailers implements types.HttpContext.
func (s *stream) OnHttpRequestTrailers(int) types.Action {
	if s.plugin.mode == "headers" {
		must(proxywasm.AddHttpRequestTrailer("x-trailer-added", "1"))
	}
	return types.ActionContinue
}

// OnHttpResponseTrailers implements types.HttpContext.
func (s *stream) OnHttpResponseTrailers(int) types.Action {
	if s.plugin.mode == "headers" {
		must(proxywasm.AddHttpResponseTrailer("x-trailer-added", "2"))
	}
	return types.ActionContinue
}

// OnHttpResponseBody implements types.HttpContext.
func (s *stream) OnHttpResponseBody(size int, end bool) types.Action {
	if s.plugin.mode == "body" {
		if !end {
			return types.ActionPause
		}
		must(proxywasm.AppendHttpResponseBody([]byte(" seen")))
	}
	return types.ActionContinue
}

// OnHttpStreamDone implements types.HttpContext.
func (s *stream) OnHttpStreamDone() {
	if s.plugin.mode == "headers" {
		proxywasm.LogInfo("stream is done")
	}
}
