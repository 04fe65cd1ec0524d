// Package conformance tests a host of the plugin ABI from outside: it has the host bind
// guests that were compiled once for ever, sends plain HTTP, and compares what the client
// and an upstream of its own see. It refuses a case file with an unknown key.
//
// README.md beside this file says what a host under test must do. Start with [Suite] and
// [Runner.Run]; cmd/conformance is the command.
package conformance
