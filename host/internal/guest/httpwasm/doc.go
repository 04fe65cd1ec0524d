// Package httpwasm runs plugins that were written for http-wasm's http_handler, as Traefik
// and Dapr load them, unmodified.
//
// A module exports handle_request and handle_response and imports what it uses from the
// module http_handler ([ABI]). [Adapter.Bind] makes a [Plugin] of it: instances that have run
// their start function. [Plugin.Open] gives an exchange an instance, which serves nobody else
// until handle_response has returned, because guests keep what they learnt of the request in
// their memory. [Stream.ServeRequest] and [Stream.ServeResponse] are the two calls.
//
// Nothing is buffered before a guest asks for it. A request's body that it reads is kept and
// still goes on whole, unless it writes another; an answer's body is taken in as it reads. Of
// each at most [MaxBody] bytes are held. What the guest sets on the answer before the request
// goes on is kept: its headers beside the upstream's, its body before the upstream's, its
// status instead.
//
// The interface has no errors: a wild pointer, a change at the wrong time or a field that
// may not stand in a message is a trap, which costs that request and the instance. What
// belongs to the framing of a message a guest may set without effect: the framing follows
// the body.
//
// A client that breaks its body off, or an upstream, is no fault of the guest's: the guest
// reads an end, and what it made of it is not used.
package httpwasm
