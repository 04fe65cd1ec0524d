// Package template reads the values that a config gives to headers, parameters and keys:
// text with ${selector} in it, such as "user ${context.claims.sub}".
//
// What stands between the braces is one of the ABI's selectors, which the host reads
// anew for each request. It is parsed once, from the config: text that a client sent is
// never looked at for ${. Start at [Parse].
package template
