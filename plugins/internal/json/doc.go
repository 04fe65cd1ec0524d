// Package json reads JSON strictly and writes it back, in little code: encoding/json
// doubles the size of a guest and costs five times the CPU.
//
// [Parse] takes RFC 8259 and refuses what readers of JSON disagree on: duplicate names,
// invalid UTF-8, lone surrogates, nesting deeper than [MaxDepth]. [ParseLax] also takes
// what Amazon's mapping templates get away with. Start with [Value].
package json
