// Command quickstart starts everything that the quickstart needs: an upstream, an identity
// provider, and the gateway itself as a child process with wasmgate.yaml and apis/ beside
// this file. Then it prints what to try, and serves until it is interrupted.
//
// The gateway's log goes to stderr. Start at main.
package main
