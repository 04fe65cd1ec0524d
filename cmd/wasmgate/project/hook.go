package project

import abi "github.com/wasmgate/wasmgate/abi/v1"

// example is the decision that a new plugin makes in a hook.
type example struct {
	does string // the plugin does, in one sentence
	mask string // what the hook sees
}

// exampleOf is the example of a hook; false for configure, which decides nothing.
func exampleOf(h abi.Hook) (e example, ok bool) {
	switch h {
	case abi.HookGuard:
		e = example{"keeps a network out", `{"fields": ["source_ip"]}`}
	case abi.HookAuthorize:
		e = example{"lets in who sends the right token", `{"fields": ["headers"], "headers": ["x-token"]}`}
	case abi.HookIdentify:
		e = example{"says which header carries the API key", `{}`}
	case abi.HookThrottle:
		e = example{"limits how often each caller may ask", `{}`}
	case abi.HookMapRequest:
		e = example{"refuses long bodies and tells the upstream who calls", `{"fields": ["body_length"]}`}
	case abi.HookCacheKey:
		e = example{"says which answers are alike", `{"fields": ["method"]}`}
	case abi.HookIntegrate:
		e = example{"sends requests to an upstream", `{}`}
	case abi.HookMapResponse:
		e = example{"hides what a failing upstream says", `{"fields": ["status"]}`}
	case abi.HookObserve:
		e = example{"marks slow answers in the access log", `{"fields": ["response_latency_us"]}`}
	}
	return e, e.does != ""
}

// Hooks are the hooks that a new plugin can have, in order.
func Hooks() (names []string) {
	for h := range abi.Hooks() {
		if _, ok := exampleOf(h); ok {
			names = append(names, h.String())
		}
	}
	return names
}
