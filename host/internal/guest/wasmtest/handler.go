package wasmtest

// Handler is a module for http-wasm in the making. Its two functions run code that is put
// together of [Handler.Call]; the room at [Room] is for what host functions give.
type Handler struct {
	Module
	// Callees are all functions of http_handler, for [Script].
	Callees []Callee

	functions map[string]int
	at        int // of the next text
}

// Room is where a handler has room for what host functions give.
const Room = 32 << 10

// RoomSize is how many bytes that is.
const RoomSize = 1 << 20

// NewHandler is a handler that imports every function of http_handler that there is.
func NewHandler() *Handler {
	h := &Handler{functions: map[string]int{}, at: 1024}
	h.Memories = [][2]int{{17, -1}}
	h.ExportRaw("memory", 2, 0)
	for _, f := range [...]struct{ name, params, results string }{
		{"enable_features", "i", "i"}, {"get_config", "ii", "i"}, {"log", "iii", ""}, {"log_enabled", "i", "i"},
		{"get_method", "ii", "i"}, {"set_method", "ii", ""}, {"get_uri", "ii", "i"}, {"set_uri", "ii", ""},
		{"get_protocol_version", "ii", "i"}, {"get_source_addr", "ii", "i"},
		{"get_header_names", "iii", "I"}, {"get_header_values", "iiiii", "I"}, {"set_header_value", "iiiii", ""},
		{"add_header_value", "iiiii", ""}, {"remove_header", "iii", ""},
		{"read_body", "iii", "I"}, {"write_body", "iii", ""}, {"get_status_code", "", "i"}, {"set_status_code", "i", ""},
	} {
		t := Sig(letters(f.params), letters(f.results))
		h.functions[f.name] = h.Import("http_handler", f.name, t)
		h.Callees = append(h.Callees, Callee{h.functions[f.name], t})
	}
	return h
}

func letters(s string) (types []byte) {
	for _, c := range s {
		types = append(types, map[rune]byte{'i': I32, 'I': I64}[c])
	}
	return types
}

// Text puts a text into memory and is its place and length.
func (h *Handler) Text(s string) []byte {
	at := h.at
	h.at += len(s)
	h.Data(at, []byte(s))
	return Cat(I32Const(int64(at)), I32Const(int64(len(s))))
}

// Call calls a host function.
func (h *Handler) Call(name string, args ...[]byte) []byte {
	return Cat(Cat(args...), Call(h.functions[name]))
}

// Room is a place and room for the parameters of a host function.
func (h *Handler) Room() []byte { return Cat(I32Const(Room), I32Const(RoomSize)) }

// Get calls a host function that gives something into the room; what it gives is on the
// stack as place and length. Locals 2 and 3 of the two functions are used.
func (h *Handler) Get(name string, args ...[]byte) []byte {
	got := h.Call(name, Cat(args...), h.Room())
	if name == "get_header_names" || name == "get_header_values" || name == "read_body" {
		got = Cat(got, []byte{0xa7}) // i32.wrap_i64: the length
	}
	return Cat(got, LocalSet(2), I32Const(Room), LocalGet(2))
}

// Tell adds a header to the answer with what [Handler.Get] gives.
func (h *Handler) Tell(header, name string, args ...[]byte) []byte {
	return Cat(h.Get(name, args...), LocalSet(2), Drop, h.Call("add_header_value", I32Const(1), h.Text(header), I32Const(Room), LocalGet(2)))
}

// Write writes to a body what [Handler.Get] gives.
func (h *Handler) Write(kind int64, name string, args ...[]byte) []byte {
	return Cat(h.Get(name, args...), LocalSet(2), Drop, h.Call("write_body", I32Const(kind), I32Const(Room), LocalGet(2)))
}

// Go is the result of a request that goes on with a number for the response.
func Go(context int64) []byte { return I64Const(context<<32 | 1) }

// Stop is the result of a request that the guest answered.
func Stop() []byte { return I64Const(0) }

// Build is the module: request must end with [Go] or [Stop].
func (h *Handler) Build(request, response []byte) []byte {
	h.Export("handle_request", h.Func(Sig(nil, T(I64)), T(I32, I32, I32, I64), request))
	h.Export("handle_response", h.Func(Sig(T(I32, I32), nil), T(I32, I64), response))
	return h.Bytes()
}
