// Mock is the built-in that answers for integrations of type mock.
//
// It refuses templates in Velocity. README.md tells more; start at answer in main.go.
package main
