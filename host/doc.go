// Package host is the gateway: it loads a configuration, serves it, and changes to a
// new one without losing a request.
//
//	config, err := host.Load(host.LoadOptions{File: "wasmgate.yaml"})
//	h, err := host.New(host.Options{Config: config, Builtins: builtins})
//	err = h.Run(ctx)
//
// Everything that serves requests stands in one immutable snapshot. A change of a
// document, plugin, certificate or the process file builds the next one beside it; it
// replaces the old one whole or not at all. What did not change is carried over: a
// policy keeps its instances, a route its plans, an upstream its connections.
//
// Several hosts in one process do not know of each other. RATIONALE.md in this folder
// says why things are as they are.
package host
