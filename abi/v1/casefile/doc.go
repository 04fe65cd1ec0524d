// Package casefile reads, runs and compares test cases of plugins, and the logical form
// of records on which those cases and the ABI's vectors are built. The same files run
// natively in a plugin's own tests and against its Wasm build in the host's.
//
// A file is one case, or {"cases": [case, ...]}:
//
//	{
//	  "name": "a good token is let in",
//	  "hook": "authorize",
//	  "config": {"issuer": "https://id.example"},
//	  "request": {"method": "GET", "headers": [["authorization", "Bearer x"]]},
//	  "host": {"jwks": [{"url": "https://id.example", "status": "ok"}]},
//	  "result": {"decision": "allow", "principal": "me"},
//	  "fuel": 200000
//	}
//
// name, hook and exactly one of result, trap and error are needed. config, JSON or a string,
// goes to the configure hook first; without it configure is not called. request and
// result are fields by their names in the contract. A result is compared whole: what it
// does not name must be absent. error is a part of the text with which configure
// refuses the config, where the manifest's schema does not refuse it before, in words of its
// own; a case with error has no request. hook may be configure itself.
// host is what the capabilities answer, see [Host]. fuel is the most that the hook may
// cost, or with {"is": N} what it must cost, checked where fuel is counted. In the place of
// result, trap says how the call must fail, see [Trap]. log is what the hook must log, line
// for line, each after its level (0 debug to 3 error): ["2 token refused"].
//
// A recording of a gateway is such a case, too, with the module and its limits, which count
// when the case is run, and what happened live, which is for people: see [Module], [Limits]
// and [Live].
//
// Fields are written by type:
//
//	bytes    "text", {"hex": "00ff"}, {"base64": "AP8="} or {"json": ANY} for compact JSON
//	u64      17; decision, scope: "allow", "route"; call_flags: ["no_query"]
//	pairs    [["name", bytes], ...] or {"name": bytes, ...}, whose order is kept
//	value    "literal", {"select": "header.x"}, or a list of those
//	values   [value, ...]
//	edits    [{"op": "set_header", "name": "x", "value": value}, ...]
//	buckets  [{"name": "n", "key": value, "rate": 1.5, "burst": 10, "cost": 1}, ...]
//	names    ["a", ...]
//
// Unknown keys are refused everywhere. Start with [Load] and [Case.Run].
package casefile
