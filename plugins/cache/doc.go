// Cache is the built-in that names the parts of a cache key; the host stores. README.md
// tells more; start at plan in main.go.
package main
