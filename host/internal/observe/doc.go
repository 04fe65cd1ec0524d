// Package observe counts, logs and redacts: metrics named wasmgate_* in a registry of
// their own, the access log with one JSON line a request, and the operator's log.
//
// Labels are bounded by the configuration, never by what clients send: a request counts
// for the template of its route, and what matches none counts for a route without a
// name. A handle ([RouteMetrics]) is taken once for each compiled route, so that counting
// a request looks nothing up and allocates nothing; its series go away with the last
// [RouteMetrics.Release].
//
// The access log never makes a request wait: a line that finds the queue full is dropped
// and counted. Credentials are redacted before a line is queued, and whatever a client
// sends can neither end a line nor drive a terminal.
//
// Start at [New], [OpenAccessLog] and [NewLogger].
package observe
