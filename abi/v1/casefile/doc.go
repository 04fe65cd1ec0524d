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
// name, hook and exactly one of result and error are needed. config, JSON or a string,
// goes to the configure hook first; without it configure is not called. request and
// result are fields by their names in the contract. A result is compared whole: what it
// does not name must be absent. error is a part of the text with which configure
// refuses the config; a case with error has no request. hook may be configure itself.
// host is what the capabilities answer, see [Host]. fuel is the most that the hook may
// cost, checked where fuel is counted.
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
