// Package rollout says which requests a new version of a plugin serves, when it must be
// taken back, and keeps both over restarts. It runs nothing: package host compiles the
// versions, counts their decisions and swaps them.
//
// A rollout goes from [Running] to [Promoted], [RolledBack] by the operator or [Returned] by
// the gateway itself, because the new version left its [Bounds]. A promoted version stands
// in for the plugin's file until that file changes.
package rollout
