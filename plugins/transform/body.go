package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wasmgate/wasmgate/plugins/internal/json"
	"github.com/wasmgate/wasmgate/plugins/internal/selected"
	"github.com/wasmgate/wasmgate/sdk/go"
)

// apply changes a JSON body. Values of the request become JSON strings whatever they hold.
func (b *bodyChange) apply(body *json.Value, r *wasmgate.Request) {
	for _, p := range b.remove {
		take(body, p)
	}
	for _, n := range b.rename {
		if v, ok := take(body, n.from); ok {
			put(body, n.to, v)
		}
	}
	for i := range b.set {
		put(body, b.set[i].at, b.set[i].fill(b.set[i].value, r))
	}
}

// fill is v with its templates joined for this request.
func (a *assignment) fill(v json.Value, r *wasmgate.Request) json.Value {
	if v.Kind == json.String {
		return json.Of(selected.Join(r, a.texts[v.Text]))
	}
	v.Items = slices.Clone(v.Items)
	for i := range v.Items {
		name := v.Items[i].Name
		v.Items[i] = a.fill(v.Items[i], r)
		v.Items[i].Name = name
	}
	return v
}

// child is the index of a member or element, -1 when there is none.
func child(v *json.Value, name string) int {
	switch v.Kind {
	case json.Object:
		return slices.IndexFunc(v.Items, func(m json.Value) bool { return m.Name == name })
	case json.Array:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v.Items) {
			return i
		}
	}
	return -1
}

// take removes what stands at p and gives it.
func take(v *json.Value, p path) (taken json.Value, ok bool) {
	for ; ; p = p[1:] {
		i := child(v, p[0])
		if i < 0 {
			return taken, false
		}
		if len(p) == 1 {
			taken = v.Items[i]
			v.Items = slices.Delete(v.Items, i, i+1)
			return taken, true
		}
		v = &v.Items[i]
	}
}

// put makes value what stands at p. Objects on the way are made, and a scalar in the way
// gives place to one; an array has no new elements.
func put(v *json.Value, p path, value json.Value) {
	for _, name := range p {
		if v.Kind != json.Object && v.Kind != json.Array {
			*v = json.Value{Kind: json.Object, Name: v.Name}
		}
		i := child(v, name)
		if i < 0 {
			if v.Kind == json.Array {
				return
			}
			v.Items = append(v.Items, json.Value{Kind: json.Null, Name: name, Raw: "null"})
			i = len(v.Items) - 1
		}
		v = &v.Items[i]
	}
	value.Name = v.Name
	*v = value
}

// isJSON goes by the media type alone.
func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.Trim(kind, " \t"))
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}
