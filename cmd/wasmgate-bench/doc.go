// Command wasmgate-bench measures the gateway beside other gateways on this machine.
//
// The figure that counts is the CPU time of a gateway's processes for one request, user
// and system, as the kernel accounts it, and its ratio to a peer's in the same round:
// gateways take turns under the same load, round after round, and the table has the
// median with minimum and maximum. Requests per second and latency stand beside it,
// since they say more about the machine than about the gateway.
//
// Everything runs on loopback, as a child of this process, for a bounded time: a fixed
// upstream, an identity provider, each gateway that is installed (those that are not are
// named), and the load from wrk, h2load and vegeta. It needs Linux for /proc. It refuses
// to count a round in which a request failed.
//
// Start at main; rows.go says what is measured, peers.go with what it is compared.
package main
