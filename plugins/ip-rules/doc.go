// Ip-rules is the built-in guard by client address: deny wins over allow, and an
// address that cannot be read stays out. README.md tells more; start at refuses in rules.go.
package main
