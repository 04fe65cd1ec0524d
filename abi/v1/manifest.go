package abi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Manifest is what a plugin says of itself in the custom section [ManifestSection]. It
// only asks: grants come from the policy.
type Manifest struct {
	// ID is the plugin's id: lower-case letters, digits, - and _, at most 64.
	ID string
	// Version is the plugin's own version, for people.
	Version string
	// Minor is the least minor version of the contract that the plugin needs; 0 is any.
	Minor int
	// Description is one line for people; may be empty.
	Description string
	// Hooks is the mask of each exported hook but configure.
	Hooks map[Hook]Mask
	// Wants is the capabilities that need a grant, with reasons.
	Wants []Want
	// ConfigSchema is the JSON Schema of the plugin's config; nil allows any config.
	ConfigSchema json.RawMessage
}

// Want is one capability that a plugin asks for.
type Want struct {
	// Capability is the import module, such as wasmgate.jwks.v1.
	Capability string
	// Reason tells the reviewer why.
	Reason string
}

var pluginID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// ParseManifest reads a manifest strictly: an unknown or repeated key, field, hook or
// capability is refused with its place.
func ParseManifest(text []byte) (*Manifest, error) {
	m := &Manifest{Hooks: map[Hook]Mask{}}
	version := 0
	err := eachKey(text, "", func(key, at string, value json.RawMessage) error {
		switch key {
		case "id":
			return decode(value, at, &m.ID)
		case "version":
			return decode(value, at, &m.Version)
		case "description":
			return decode(value, at, &m.Description)
		case "abi":
			return decode(value, at, &version)
		case "abi_minor":
			return decode(value, at, &m.Minor)
		case "config_schema":
			m.ConfigSchema = slices.Clone(value)
			return eachKey(value, at, func(string, string, json.RawMessage) error { return nil })
		case "hooks":
			return eachKey(value, at, m.hook)
		case "wants":
			return m.wants(value, at)
		}
		return unknown(at)
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read manifest: %w", err)
	case !pluginID.MatchString(m.ID):
		return nil, fmt.Errorf("read manifest: id: got %q, want 1 to 64 of a-z, 0-9, - and _, a letter or digit first", m.ID)
	case m.Version == "":
		return nil, errors.New("read manifest: version: it is missing")
	case version != Version:
		return nil, fmt.Errorf("read manifest: abi: got %d, want %d", version, Version)
	case m.Minor < 0 || m.Minor > Minor:
		return nil, fmt.Errorf("read manifest: abi_minor: got %d, want 0 to %d: the plugin needs a newer host", m.Minor, Minor)
	}
	return m, nil
}

func (m *Manifest) hook(key, at string, value json.RawMessage) error {
	h, ok := HookByName(key)
	if !ok {
		return fmt.Errorf("%s: unknown hook", at)
	}
	if h == HookConfigure {
		return fmt.Errorf("%s: configure always gets its fields and is not listed", at)
	}
	mask, err := parseMask(h, value, at)
	m.Hooks[h] = mask
	return err
}

func parseMask(h Hook, text json.RawMessage, at string) (m Mask, err error) {
	lists := map[string]*[]string{"headers": &m.Headers, "query_params": &m.QueryParams, "response_headers": &m.ResponseHeaders}
	err = eachKey(text, at, func(key, at string, value json.RawMessage) error {
		switch key {
		case "fields":
			return parseFields(&m, h, value, at)
		case "headers", "query_params", "response_headers":
			return parseNames(lists[key], key != "query_params", value, at)
		case "body":
			return parseBody(&m, &m.Body, h, FieldBody, FieldBodyTruncated, value, at)
		case "response_body":
			return parseBody(&m, &m.ResponseBody, h, FieldResponseBody, FieldResponseBodyTruncated, value, at)
		}
		return unknown(at)
	})
	for name, list := range lists {
		if f, _ := FieldByName(name); err == nil && *list != nil && !m.Has(f) {
			err = fmt.Errorf("%s.%s: fields does not list %s", at, name, name)
		}
	}
	return m, err
}

func parseFields(m *Mask, h Hook, text json.RawMessage, at string) error {
	var names []string
	if err := decode(text, at, &names); err != nil {
		return err
	}
	for _, name := range names {
		f, ok := FieldByName(name)
		switch {
		case !ok:
			return fmt.Errorf("%s: unknown field %q", at, name)
		case !f.In(h):
			return fmt.Errorf("%s: hook %v has no field %q", at, h, name)
		case f == FieldBody || f == FieldBodyTruncated || f == FieldResponseBody || f == FieldResponseBodyTruncated:
			return fmt.Errorf("%s: %q comes by its body mode: \"%s\": {\"mode\": \"prefix\", \"max\": 65536}",
				at, name, strings.TrimSuffix(name, "_truncated"))
		case m.Has(f):
			return fmt.Errorf("%s: %q is there twice", at, name)
		}
		m.Fields |= 1 << f
	}
	return nil
}

func parseNames(list *[]string, lower bool, text json.RawMessage, at string) error {
	if err := decode(text, at, list); err != nil {
		return err
	}
	if len(*list) == 0 {
		return fmt.Errorf("%s: empty list: leave it out for all, or leave the field out for none", at)
	}
	for _, name := range *list {
		if name == "" || lower && hasUpper([]byte(name)) {
			return fmt.Errorf("%s: got %q, want a lower-case name", at, name)
		}
	}
	return nil
}

func parseBody(m *Mask, need *BodyNeed, h Hook, body, truncated Field, text json.RawMessage, at string) error {
	if !body.In(h) {
		return fmt.Errorf("%s: hook %v has no field %q", at, h, body)
	}
	mode := ""
	err := eachKey(text, at, func(key, at string, value json.RawMessage) error {
		switch key {
		case "mode":
			return decode(value, at, &mode)
		case "max":
			return decode(value, at, &need.Max)
		}
		return unknown(at)
	})
	if err != nil {
		return err
	}
	var ok bool
	if need.Mode, ok = byName[BodyMode](bodyModeNames[:], mode); !ok {
		return fmt.Errorf("%s.mode: got %q, want none, prefix or full", at, mode)
	}
	if need.Mode == BodyNone {
		if need.Max != 0 {
			return fmt.Errorf("%s.max: got %d, want none for mode none", at, need.Max)
		}
		return nil
	}
	if need.Max < 1 || need.Max > MaxBodyBytes {
		return fmt.Errorf("%s.max: got %d, want 1 to %d", at, need.Max, MaxBodyBytes)
	}
	m.Fields |= 1<<body | 1<<truncated
	return nil
}

func (m *Manifest) wants(text json.RawMessage, at string) error {
	var list []json.RawMessage
	if err := decode(text, at, &list); err != nil {
		return err
	}
	for i, item := range list {
		var w Want
		at := fmt.Sprintf("%s[%d]", at, i)
		err := eachKey(item, at, func(key, at string, value json.RawMessage) error {
			switch key {
			case "capability":
				return decode(value, at, &w.Capability)
			case "reason":
				return decode(value, at, &w.Reason)
			}
			return unknown(at)
		})
		switch {
		case err != nil:
			return err
		case !knownModule(w.Capability):
			return fmt.Errorf("%s.capability: unknown capability %q", at, w.Capability)
		case w.Reason == "":
			return fmt.Errorf("%s.reason: it is missing", at)
		case m.wanted(w.Capability):
			return fmt.Errorf("%s.capability: %q is there twice", at, w.Capability)
		}
		m.Wants = append(m.Wants, w)
	}
	return nil
}

func (m *Manifest) wanted(module string) bool {
	return slices.ContainsFunc(m.Wants, func(w Want) bool { return w.Capability == module })
}

func unknown(at string) error { return fmt.Errorf("%s: unknown key", at) }

// decode is json.Unmarshal for values without named members.
func decode(text json.RawMessage, at string, v any) error {
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return fmt.Errorf("%s: got null", at)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return nil
}

// eachKey calls do for every member of an object. encoding/json into a struct would let
// repeated keys and keys in other case through, which readers then take differently.
func eachKey(text json.RawMessage, at string, do func(key, at string, value json.RawMessage) error) error {
	place := func(key string) string { return strings.TrimPrefix(at+"."+key, ".") }
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("%s: want a JSON object", strings.TrimPrefix(at, "."))
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		key := t.(string) // a member's name is a string by the decoder's own grammar
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("%s: %w", place(key), err)
		}
		if seen[key] {
			return fmt.Errorf("%s: key is there twice", place(key))
		}
		seen[key] = true
		if err := do(key, place(key), value); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%s: text after the object", at)
	}
	return nil
}
