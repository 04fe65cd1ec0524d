// Package problem is every error that a client can see, in Amazon API Gateway's form:
// a status, {"message": ...}, x-amzn-ErrorType and x-amzn-RequestId.
//
// A [Problem] has three readers. The client gets status, type and message and never the
// cause; the operator gets the whole chain from Error; the access log gets [Code] and
// its [Code.ResponseType]. Codes stand in codes.json and nowhere else: code_gen.go is
// made from it.
//
// Start at [Code.Problem] for an error that is a constant, at [New] for one with a
// cause, and at [Write], which renders any error.
package problem

//go:generate go run ./generate
