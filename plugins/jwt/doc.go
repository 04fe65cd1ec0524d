// Jwt is the built-in authorizer for signed bearer tokens: issuer, audience, dates,
// scopes and claims are checked here, the signature by the host.
//
// It refuses whatever two readers of a token could read differently; README.md tells all
// of it. Start at authorize in main.go.
package main
