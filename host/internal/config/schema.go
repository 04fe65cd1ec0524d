package config

import (
	"encoding/json"
	"strings"
)

// Schema is the JSON Schema (2020-12) of the process file. It accepts all that [Load]
// accepts; Load also checks bounds of sizes and durations, and keys against each other.
func Schema() []byte {
	root := object{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "wasmgate.yaml",
	}
	section(root)
	for _, e := range new(Config).table() {
		at := root
		steps := strings.Split(e.key, ".")
		for _, step := range steps[:len(steps)-1] {
			inner := at["properties"].(object)
			if inner[step] == nil {
				inner[step] = section(object{})
			}
			at = inner[step].(object)
		}
		leaf := object{"description": e.doc}
		for k, v := range e.schema {
			leaf[k] = v
		}
		leaf["default"] = e.initial
		if e.literal != nil {
			leaf["default"] = e.literal(e.initial)
		}
		at["properties"].(object)[steps[len(steps)-1]] = leaf
	}
	data, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps of plain values always marshal
	}
	return append(data, '\n')
}

// section makes s the schema of an object, or of nothing where all in it is commented out.
func section(s object) object {
	s["type"], s["additionalProperties"], s["properties"] = []string{"object", "null"}, false, object{}
	return s
}
