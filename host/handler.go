package host

import (
	"context"

	"github.com/wasmgate/wasmgate/host/internal/exchange"
	"github.com/wasmgate/wasmgate/host/internal/guest"
	"github.com/wasmgate/wasmgate/host/internal/guest/httpwasm"
	"github.com/wasmgate/wasmgate/host/internal/pipeline"
	"github.com/wasmgate/wasmgate/host/model"
)

// bindHandler binds a plugin of http-wasm.
func (ps *policies) bindHandler(ctx context.Context, module *guest.Module, p *model.Policy) (*boundPolicy, error) {
	b, called := ps.foreign(module, p)
	plugin, err := httpwasm.Bind(ctx, ps.engine, module, httpwasm.Binding{Name: p.Plugin, Config: configBytes(p.Config),
		Fuel: p.Fuel, Memory: p.Memory, Fresh: p.Isolation == model.IsolationFresh, Called: called})
	if err != nil {
		return nil, err
	}
	b.Policy = &pipeline.Policy{Filter: handler{plugin}, ID: bindingID(module, p), Name: p.Plugin, OnError: p.OnError}
	b.close = plugin.Close
	return b, nil
}

// handler is a plugin of http-wasm as the pipeline sees it.
type handler struct{ *httpwasm.Plugin }

// Open begins one exchange's way through the plugin.
func (h handler) Open(_ context.Context, facts pipeline.FilterFacts) (pipeline.FilterStream, error) {
	x := facts.Exchange
	return handlerStream{h.Plugin.Open(httpwasm.Facts{Protocol: x.Conn.Protocol, Source: x.Remote})}, nil
}

// handlerStream is one exchange in it.
type handlerStream struct{ stream *httpwasm.Stream }

// Request shows the plugin the request.
func (s handlerStream) Request(ctx context.Context, h *pipeline.FilterHead) error {
	return s.stream.ServeRequest(ctx, (*httpwasm.Request)(h))
}

// Response shows the plugin the response.
func (s handlerStream) Response(ctx context.Context, r *exchange.Response, about pipeline.Answered) error {
	return s.stream.ServeResponse(ctx, r, about.NoBody, about.Failed)
}

// Reply writes the plugin's answer.
func (s handlerStream) Reply(r *exchange.Response) { s.stream.Reply(r) }

// Close ends the exchange.
func (s handlerStream) Close(*exchange.Response) { s.stream.Close() }
