// Package document reads the YAML and JSON documents that people write for the gateway:
// the process file and the API documents. It gives each value with its position and its
// key path, resolves ${env:X} and ${file:/path} references, and collects every problem
// instead of stopping at the first.
//
// It refuses what two readers could understand differently or what is made to hurt:
// duplicate keys, several documents in one file, unknown tags, text that is no UTF-8,
// files over a size, deep nesting, and aliases that blow a small file up.
//
// A referenced value is never printed: problems show what stands in the file, and a
// [Redactor] takes the values out of any other text.
//
// Start at [Parse].
package document
