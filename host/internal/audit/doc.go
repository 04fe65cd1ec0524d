// Package audit keeps the append-only log of what changed at a gateway: data_dir/audit.log,
// one JSON object a line, each chained to the one before by SHA-256. Start at [Open] to
// write and at [Verify] to check.
//
// # Line
//
//	{"seq":7,"time":"2026-01-02T03:04:05.678Z","kind":"plugin_loaded","fields":{...},"prev":"<hex>","hash":"<hex>"}
//
// The encoding is canonical: these members in this order, no blanks, the members of fields
// sorted by name, time in UTC. seq counts from 1 without a gap. prev is the hash of the line
// before, 64 zeros in the first. hash is the SHA-256 of the line's own bytes without
// ,"hash":"..." and without the newline, so that any tool can compute it. The first line is
// of kind genesis and names the instance by a random id.
//
// # Segments
//
// A file that has reached 16 MiB is renamed to audit-000001.log and so on, and the next
// begins with a line of kind segment: seq and prev go on. Nothing is ever removed: who moves
// old segments away keeps the head that the last of them ends with, for [VerifyOptions].After.
//
// # Crashes
//
// [Log.Append] returns after fsync: what it took is there after a crash, what it refused is
// not. A line that a crash cut off stays as it is; the next start ends it with a newline and
// appends a line of kind torn with its length and SHA-256, which is the only way for
// [Verify] to accept it. A last line that is whole but for its newline gets that.
//
// # What the chain shows, and what it cannot
//
// Any changed, inserted, removed or reordered line breaks it. Who may write the file can cut
// off its end, or make a whole new chain: both show only against a [Head] kept elsewhere. A
// running gateway tells its own in status, in its metrics, and in its log at each append.
// While a gateway runs it also refuses to append to a file that is not as it left it.
//
// # Refused
//
// Appending to a log whose last file does not verify, that others may read or write, or that
// another process appends to; lines over 8 MiB; an append that cannot be written and synced,
// of which nothing is left behind.
package audit
