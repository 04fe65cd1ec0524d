// Command generate writes code_gen.go of package problem from codes.json.
// It is run by go generate in the folder of that package.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/format"
	"log"
	"net/http"
	"os"
	"strings"
)

// code is an entry of codes.json.
type code struct {
	Name        string `json:"name"`
	Status      int    `json:"status"`
	Type        string `json:"type"`
	Member      string `json:"member"` // of the body; "message" when empty
	Message     string `json:"message"`
	HTTPMessage string `json:"http_message"` // of HTTP APIs; Message when empty
	Response    string `json:"response"`     // Amazon's gateway response type
	Doc         string `json:"doc"`
}

func main() {
	data, err := os.ReadFile("codes.json")
	if err != nil {
		log.Fatal(err)
	}
	out, err := render(data)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("code_gen.go", out, 0o644); err != nil {
		log.Fatal(err)
	}
}

func render(data []byte) ([]byte, error) {
	var codes []code
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&codes); err != nil {
		return nil, fmt.Errorf("read codes.json: %w", err)
	}
	var consts, table bytes.Buffer
	seen := map[string]bool{}
	for _, c := range codes {
		if err := c.check(seen); err != nil {
			return nil, fmt.Errorf("read codes.json: %w", err)
		}
		if c.Member == "" {
			c.Member = "message"
		}
		if c.HTTPMessage == "" {
			c.HTTPMessage = c.Message
		}
		first := strings.ToLower(c.Doc[:1]) + c.Doc[1:]
		fmt.Fprintf(&consts, "// %s (%d, %q): %s\n%s\n", c.Name, c.Status, c.Message, first, c.Name)
		fmt.Fprintf(&table, "{%q, %d, %q, %q, %q, %q, %q},\n",
			c.Name, c.Status, c.Type, c.Member, c.Message, c.HTTPMessage, c.Response)
	}
	return format.Source(fmt.Appendf(nil, `// Code generated from codes.json by go generate; DO NOT EDIT.

package problem

// The codes. The zero Code is none of them.
const (
	_ Code = iota
%s)

var rows = [...]row{
	{},
%s}
`, &consts, &table))
}

func (c code) check(seen map[string]bool) error {
	switch {
	case c.Name == "" || seen[c.Name]:
		return fmt.Errorf("name %q is empty or repeated", c.Name)
	case http.StatusText(c.Status) == "" || c.Status < 400:
		return fmt.Errorf("%s: status %d, want an error's", c.Name, c.Status)
	case c.Type == "" || c.Message == "" || c.Response == "" || c.Doc == "":
		return fmt.Errorf("%s: type, message, response and doc must be set", c.Name)
	}
	seen[c.Name] = true
	return nil
}
