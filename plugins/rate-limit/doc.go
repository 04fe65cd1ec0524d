// Rate-limit is the built-in that names the token buckets of a request; the host keeps
// them. README.md tells more; start at buckets in main.go.
package main
