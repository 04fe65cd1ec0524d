// Package throttle keeps token buckets, exact under concurrency.
//
// A throttle hook names buckets; [Store.Take] draws from all of them or from none.
// Keys are hashes that the caller makes of policy and key tuple, so that two policies
// never meet in one bucket.
//
// Arithmetic is in integers: a level is whole tokens and a fraction in 1e-18 tokens,
// a rate is nano-tokens a second, rounded once from the configured number. Refill is
// rate times elapsed nanoseconds, so nothing drifts however often a bucket is asked.
//
// Memory is bounded. Only a full bucket is ever dropped: forgetting it changes no
// answer, since a new bucket starts full. A key that finds the table full of drained
// buckets draws from an overflow bucket that all such keys of the same rate and burst
// share in its part of the table: whoever invents keys slows down newcomers, and never
// gets more than the known keys and the overflow buckets allow.
//
// It refuses nothing by itself: a [Verdict] is data. Start at [Store.Take].
package throttle
