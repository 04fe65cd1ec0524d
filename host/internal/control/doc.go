// Package control is the admin listener: health and metrics, open to who reaches it, and
// the admin API, which wants the token of the data directory.
//
//	GET  /livez, /readyz, /healthz, /metrics   open; healthz is another name of readyz
//	GET  /admin/v1/status                      token
//	GET  /admin/v1/audit                       token; every policy with all that it may do
//	POST /admin/v1/reload                      token
//
// It listens on loopback only and refuses any other address: what may change the gateway
// is not to be one wrong firewall rule away from the network. Every request, also an open
// one, is refused when it comes from a page in a browser (Origin, Sec-Fetch-Site) or when
// its Host is not a loopback name, which is how DNS rebinding shows. A path is compared
// byte for byte: no cleaning, no decoding, no redirect.
//
// A call that changes something stands in the audit log before it is done.
//
// It is the only package that serves net/http: nothing here is on the way of a request
// through the gateway. Start at [New].
package control
