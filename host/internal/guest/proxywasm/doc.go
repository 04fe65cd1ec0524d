// Package proxywasm serves plugins of proxy-wasm, unmodified: the ABI of Envoy, Istio, MOSN
// and Higress, versions 0.1.0, 0.2.0 and 0.2.1, as far as it is about HTTP. [ABI] is what
// the engine must know to load them, [Adapter.Bind] starts one, [Plugin.Open] takes an
// exchange through it.
//
// A plugin has several VMs, each one instance of its module with one root context and the
// contexts of the exchanges that it was given. A VM runs one callback at a time: who wants
// to call it takes its turn, and nobody waits for anything else meanwhile. So an exchange
// that the guest pauses waits without the turn, until the guest continues it from a timer,
// a queue or the answer of a call, which come as events on the root context and never
// inside a host function. Bodies pass the guest while they are read, piece by piece; what a
// paused guest holds back is bounded.
//
// Data and queues belong to a VM id, which is the plugin's id, and outlive instances. What
// on_vm_start sets is not set again beside a plugin that serves already: each new instance
// would reset what the others have counted.
//
// A trap costs the VM: its exchanges fail, each as its policy's on_error says, and another
// VM is started in its place.
//
// Where the specification and Envoy differ, Envoy is followed, because plugins were tested
// there; but middles of buffers can be replaced, framing is computed anew when a body was
// changed, and a stream that is continued inside its callback is continued once.
//
// Refused at load: unknown versions, imports that there are not or of another type, exports
// of another type, no allocator, and modules without any HTTP callback, unless they only
// have timers and queues and are bound to the whole gateway. Layer 4 is not served; calls
// by gRPC get a status; there are no foreign functions.
package proxywasm
