package main

import (
	"github.com/wasmgate/wasmgate/plugins/internal/config"
	"github.com/wasmgate/wasmgate/plugins/internal/template"
	"github.com/wasmgate/wasmgate/sdk/go"
	"github.com/wasmgate/wasmgate/sdk/go/configure"
	"github.com/wasmgate/wasmgate/sdk/go/identify"
)

func init() {
	var selector string
	configure.Handle(func(c configure.Config) (r configure.Result, err error) {
		selector, err = decode(string(c.Bytes))
		return r, err
	})
	identify.Handle(func(*identify.Request) identify.Result {
		return identify.Key(wasmgate.Select(selector)).ForRoute()
	})
}

func main() {}

// decode reads a config and gives the selector of the key.
func decode(text string) (selector string, err error) {
	c := config.Parse("config", text)
	kind := "header."
	if c.OneOf("in", "header", "query") == "query" {
		kind = "param."
	}
	selector, fault := template.Selector(kind+c.String("name", "x-api-key"), template.Request)
	if fault != "" {
		c.Fail("name", fault)
	}
	return selector, c.Err()
}
