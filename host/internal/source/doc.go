// Package source gets modules from where policies say they are: a file, an https URL, an
// OCI registry; and sends them to a registry.
//
// What was got is kept in data_dir/plugins: modules by their SHA-256 in sha256/, verified
// whenever they are read, and in pins/ for each source what it was: the module's digest,
// the manifest's, and the signatures. A source that has a pin is not asked again. So a tag
// that was moved, or a registry that is down or taken over, changes nothing; following a
// tag is an act of the operator's ([Sources.Pull], `wasmgate plugin pull`). A damaged copy
// is got again, by its digest, or refused.
//
// Everybody out there is taken for hostile. Refused: more bytes than plugins.module_bytes,
// more time than plugins.pull.timeout, other bytes than the digest says; redirects beyond
// five, or to anything but https; link-local addresses and metadata services, whatever name
// leads there; an archive with links, odd names, many entries or more than it may hold; a
// manifest that could mean two modules. What a server says in an error is not repeated,
// since it may be what we sent it.
//
// Whether what was got may be loaded is package signature's to say.
//
// Start at [Sources.Load].
package source
