// Package model holds Amazon API Gateway's nouns as plain types, with ours where Amazon
// has none. It depends on the standard library only, does nothing, and knows neither
// where a value came from nor what serves it.
package model
