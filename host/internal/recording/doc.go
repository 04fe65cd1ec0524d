// Package recording writes what a policy decided to files that anybody can run again: case
// files of abi/v1/casefile, one a call, with its request, its config, the answers of its
// capabilities, its result and its fuel. Start with [New] and [Recorder.Policy].
//
// What a recording wants was not got from the call that served. That one ran on an instance
// that had seen other requests, and saw secrets. A worker, off the requests' way, runs the
// hook again on a new instance, with what was redacted; no more is in the file than that run
// had, so that it gives the same result and the same fuel on any machine, and so that what
// is written of the result holds no secret that its input does not hold.
//
// # Secrets
//
// What is a credential by its name (headers, cookies, query parameters, members of JSON and
// form bodies), by its shape (tokens of JWS), by its source (secrets, references of the
// configuration) or because the operator says so is replaced by a placeholder of its length,
// always the same for the same value, and so is each of its pieces of 8 bytes wherever it
// recurs, also percent-encoded, in Base64 or in hexadecimal digits. The credentials are those
// of the request as it came in, whether or not the plugin sees them. Of a JWS its algorithm,
// type, issuer, audience, scope and times stay: a token without signature opens nothing, and
// a policy that checks tokens decides as before.
//
// # Bounds
//
// Calls are sampled and counted by the minute before anything is copied. Waiting calls are
// bounded in number and bytes; what does not fit is dropped and counted. Files of one plugin
// are bounded in bytes: the oldest go.
package recording
