// Package openapi reads API documents, Swagger 2.0 and OpenAPI 3.0 and 3.1 in YAML or
// JSON with Amazon's extensions and ours, into [model.API].
//
// It reads what decides how requests are served: paths, methods, integrations, security,
// policies and keys; schemas, examples and descriptions are left alone. Integrations and
// authorizers stay data: package host turns them into policies.
//
// Refused, all at once and each with its position: keys that the specification has not
// where a typing error would change what is served, every x-wasmgate-* key that we have
// not, and every extension of Amazon's that guards or changes a request and is not served
// yet, so that nothing is open that Amazon would have closed. Extensions without which
// the API still is as safe give a warning. References leave neither the document nor,
// for ${env:X} and ${file:/path}, the texts that are read here.
//
// The nodes are walked directly: libopenapi takes five times as long for a document of
// 10,000 routes and does not give the positions of extensions.
//
// Start at [LoadDir].
package openapi
