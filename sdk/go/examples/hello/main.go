// Hello is an authorizer: it lets in who sends x-token: let-me-in.
package main

import "github.com/wasmgate/wasmgate/sdk/go/authorize"

func init() {
	authorize.Handle(func(r *authorize.Request) authorize.Result {
		if r.Header("x-token") == "let-me-in" {
			return authorize.Allow("friend")
		}
		return authorize.Deny()
	})
}

func main() {}
