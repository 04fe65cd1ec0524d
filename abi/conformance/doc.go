// Package conformance tests a host of the plugin ABI over plain HTTP: whoever can bind the
// suite's guests to routes can be tested, in whatever language the host is written. What a
// host must do is in README.md; cases/ has the cases, guests/ the modules, which are kept as
// they were compiled.
//
// Start with [Load], bind what [Suite.Bindings] gives, and [Run] it.
package conformance
