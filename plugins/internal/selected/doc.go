// Package selected reads a selector from a request record as the host would, for the few
// plans that cannot leave it to the host: where a value is escaped into JSON or into a
// path before it is used. Start at [Value].
package selected
