// Http is the built-in that calls upstreams for integrations of type http_proxy and http.
//
// It refuses an integration in which a client could choose the host, and templates in
// Velocity. README.md tells more; start at call and response in main.go.
package main
