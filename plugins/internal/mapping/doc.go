// Package mapping reads what Amazon's integrations say of mapping: parameter sources such
// as method.request.header.X, templates by content type with their passthrough behaviour,
// and responses chosen by a pattern on the status. http and mock share it.
//
// It refuses a template in Velocity, which is not evaluated here: an answer with $input in
// it is worse than none. Start at [Source], [Pick] and [ReadResponses].
package mapping
