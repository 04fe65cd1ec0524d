// Package pipeline takes an exchange from its route through the hooks in Amazon's
// order, and does what the plugins decided.
//
// A plugin's hook is asked through [Plugin]; what it answers is a plan, decoded once.
// A plan that holds for the whole route, or for an identity, is kept and the plugin is
// not asked again: the host reads its selectors anew for each request. So a policy in
// steady state costs no call into the sandbox.
//
// The order, each step skipped when nothing is bound: guard, authorize, identify,
// throttle, map_request, cache_key, integrate, map_response, observe. What a plugin
// cannot decide (a trap, no fuel, a hostile record) costs that request only, as the
// policy's on_error says; guard and authorize always deny.
//
// The cache stores what the integration answered, before map_response: an answer that
// was changed for one origin or identity is never shown to another.
//
// Start at [Pipeline.ServeExchange].
package pipeline
