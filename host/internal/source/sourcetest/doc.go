// Package sourcetest runs a real OCI registry beside a test: Distribution, as Debian's
// docker-registry has it.
package sourcetest
