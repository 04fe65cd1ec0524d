// Package config decodes a plugin's config and tells every fault of it at once, each with
// where it stands, what is there and what is wanted: config.audience[1]: got number, want string.
//
// An unknown key is a fault: a misspelt key must not become a missing check. Start with [Parse].
package config
