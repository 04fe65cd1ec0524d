// Package config reads the process file, wasmgate.yaml, with the environment and flags
// over it, into a [Config] that nobody changes.
//
// One table holds every key with its kind, bounds, default and meaning. It reads the
// values, it words the problems, and it gives the JSON Schema that `wasmgate schema`
// prints.
//
// A relative path in the file starts at the file's directory, and so does a default; one
// from the environment or a flag starts at the working directory.
//
// Refused, all at once and each with its position: unknown keys, duplicate keys, values
// of another kind or out of bounds, references to what is not there, and keys that
// contradict each other. API definitions and policies have no place in this file.
//
// Start at [Load].
package config
