// Command conformance tests a host of the plugin ABI: it writes what the host must bind,
// plays the upstream, sends the requests and prints the scores. See ../../README.md.
package main
