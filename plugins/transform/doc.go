// Transform is the built-in that changes headers, query, path, status and JSON bodies.
//
// It refuses a body that it cannot read where the body is to be changed. README.md tells
// more; start at mapRequest and mapResponse in main.go.
package main
