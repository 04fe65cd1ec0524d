// Cors is the built-in that lets pages of other origins call from a browser (the Fetch
// standard, 3.3). README.md tells more; start at preflight and response in main.go.
package main
