package proxywasm

import "time"

// function is a host function of the module env.
type function struct {
	params string // i for i32, I for i64; the result is an i32 unless it is none
	none   bool
	boot   bool // also while the guest's start functions or its allocator run
	power  string
	call   func(v *vm, w []uint64) status
}

// What host functions cost beyond the instruction that calls them, about by their time.
const (
	crossingFuel = 100
	callFuel     = 20_000 // an outbound call
)

// What plugins do through imports, in the words of the powers.
const (
	powerLog      = "writes lines to the log"
	powerTime     = "reads the clock"
	powerTick     = "runs without a request, by a timer"
	powerBody     = "reads and changes bodies of requests, responses and its own calls' answers"
	powerHeaders  = "reads and changes headers and trailers"
	powerStream   = "pauses, continues and breaks off requests"
	powerReply    = "answers requests itself"
	powerHTTP     = "calls the upstreams that the grant http names"
	powerGRPC     = "nothing: gRPC calls are not served"
	powerData     = "keeps data that all plugins of its VM id share"
	powerQueue    = "puts items into queues of its own and of any plugin whose name it knows, and takes them out"
	powerMetric   = "defines metrics of its own"
	powerProperty = "reads facts of request, connection and gateway, and keeps its own with the request"
	powerRoute    = "nothing: the route is found before"
	powerForeign  = "nothing: there are no foreign functions"
	powerContext  = "moves between its own requests"
	powerConfig   = "reads its config"
	powerCompiler = "nothing: it is part of a language's runtime"
)

// functions are all that a module may import of env.
func functions() map[string]function {
	return map[string]function{
		"proxy_log":                          {params: "iii", boot: true, power: powerLog, call: hostLog},
		"proxy_get_log_level":                {params: "i", boot: true, power: powerLog, call: hostLogLevel},
		"proxy_get_current_time_nanoseconds": {params: "i", boot: true, power: powerTime, call: hostTime},
		"proxy_set_tick_period_milliseconds": {params: "i", power: powerTick, call: hostTick},
		"proxy_set_buffer_bytes":             {params: "iiiii", power: powerBody, call: hostSetBuffer},
		"proxy_get_buffer_bytes":             {params: "iiiii", power: powerBody, call: hostGetBuffer},
		"proxy_get_buffer_status":            {params: "iii", power: powerBody, call: hostBufferStatus},
		"proxy_get_header_map_size":          {params: "ii", power: powerHeaders, call: hostMapSize},
		"proxy_get_header_map_pairs":         {params: "iii", power: powerHeaders, call: hostMapPairs},
		"proxy_set_header_map_pairs":         {params: "iii", power: powerHeaders, call: hostSetMapPairs},
		"proxy_get_header_map_value":         {params: "iiiii", power: powerHeaders, call: hostMapValue},
		"proxy_add_header_map_value":         {params: "iiiii", power: powerHeaders, call: hostMapAdd},
		"proxy_replace_header_map_value":     {params: "iiiii", power: powerHeaders, call: hostMapReplace},
		"proxy_remove_header_map_value":      {params: "iii", power: powerHeaders, call: hostMapRemove},
		"proxy_continue_stream":              {params: "i", power: powerStream, call: hostContinue},
		"proxy_close_stream":                 {params: "i", power: powerStream, call: hostCloseStream},
		"proxy_continue_request":             {power: powerStream, call: func(v *vm, _ []uint64) status { return v.resume(streamRequest) }},
		"proxy_continue_response":            {power: powerStream, call: func(v *vm, _ []uint64) status { return v.resume(streamResponse) }},
		"proxy_clear_route_cache":            {power: powerRoute, call: func(*vm, []uint64) status { return statusOK }},
		"proxy_get_status":                   {params: "iii", power: powerHTTP, call: hostStatus},
		"proxy_send_local_response":          {params: "iiiiiiii", power: powerReply, call: hostReply},
		"proxy_http_call":                    {params: "iiiiiiiiii", power: powerHTTP, call: hostHTTPCall},
		"proxy_grpc_call":                    {params: "iiiiiiiiiiii", power: powerGRPC, call: grpc(statusBadArgument)},
		"proxy_grpc_stream":                  {params: "iiiiiiiii", power: powerGRPC, call: grpc(statusBadArgument)},
		"proxy_grpc_send":                    {params: "iiii", power: powerGRPC, call: grpc(statusNotFound)},
		"proxy_grpc_cancel":                  {params: "i", power: powerGRPC, call: grpc(statusNotFound)},
		"proxy_grpc_close":                   {params: "i", power: powerGRPC, call: grpc(statusNotFound)},
		"proxy_set_shared_data":              {params: "iiiii", power: powerData, call: hostSetData},
		"proxy_get_shared_data":              {params: "iiiii", power: powerData, call: hostGetData},
		"proxy_register_shared_queue":        {params: "iii", power: powerQueue, call: hostRegisterQueue},
		"proxy_resolve_shared_queue":         {params: "iiiii", power: powerQueue, call: hostResolveQueue},
		"proxy_enqueue_shared_queue":         {params: "iii", power: powerQueue, call: hostEnqueue},
		"proxy_dequeue_shared_queue":         {params: "iii", power: powerQueue, call: hostDequeue},
		"proxy_define_metric":                {params: "iiii", power: powerMetric, call: hostDefineMetric},
		"proxy_record_metric":                {params: "iI", power: powerMetric, call: hostRecordMetric},
		"proxy_increment_metric":             {params: "iI", power: powerMetric, call: hostIncrementMetric},
		"proxy_get_metric":                   {params: "ii", power: powerMetric, call: hostGetMetric},
		"proxy_get_property":                 {params: "iiii", power: powerProperty, call: hostGetProperty},
		"proxy_set_property":                 {params: "iiii", power: powerProperty, call: hostSetProperty},
		"proxy_call_foreign_function":        {params: "iiiiii", power: powerForeign, call: hostForeign},
		"proxy_set_effective_context":        {params: "i", power: powerContext, call: hostEffectiveContext},
		"proxy_done":                         {power: powerContext, call: hostDone},
		"proxy_get_configuration":            {params: "ii", power: powerConfig, call: hostConfiguration},
		"emscripten_notify_memory_growth":    {params: "i", none: true, boot: true, power: powerCompiler, call: func(*vm, []uint64) status { return statusOK }},
		"pthread_equal":                      {params: "ii", boot: true, power: powerCompiler, call: hostPthreadEqual},
	}
}

// serve runs a host function for the guest that calls it.
func (f *function) serve(v *vm, w []uint64) {
	v.box.Charge(crossingFuel)
	s := statusInternal
	// A guest that boots has no context yet, and one that allocates is inside a host
	// function: what could call it again, or change what that function works on, waits.
	if f.boot || v.stage != stageBoot && v.inside == 0 {
		s = f.call(v, w)
	}
	if !f.none {
		w[0] = uint64(s)
	}
}

// give hands bytes to the guest: in memory of its allocator, whose place and length are
// stored where it said.
func (v *vm) give(value []byte, at, length uint64) status {
	if !v.room32(at) || !v.room32(length) {
		return statusInvalidMemory
	}
	p := uint32(0)
	if len(value) > 0 { // the Go SDK's allocator fails at zero
		v.box.Charge(int64(len(value) >> 3))
		v.inside++
		place, err := v.box.Nested(v.p.module.allocator, uint64(len(value)))
		v.inside--
		if err != nil {
			panic(err) // it trapped: so does the call that it was part of
		}
		if p = uint32(place); p == 0 {
			return statusInternal
		}
		// It may have grown the memory: the view of before is stale.
		into, ok := v.box.Bytes(p, uint32(len(value)))
		if !ok {
			return statusInvalidMemory
		}
		copy(into, value)
	}
	v.put32(at, p)
	v.put32(length, uint32(len(value)))
	return statusOK
}

// bytes are the guest's own: who keeps them, or lets the guest run, copies.
func (v *vm) bytes(at, length uint64) ([]byte, bool) {
	return v.box.Bytes(uint32(at), uint32(length))
}

func (v *vm) room32(at uint64) bool {
	_, ok := v.bytes(at, 4)
	return ok
}

func (v *vm) put32(at uint64, n uint32) status {
	b, ok := v.bytes(at, 4)
	if !ok {
		return statusInvalidMemory
	}
	b[0], b[1], b[2], b[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	return statusOK
}

func (v *vm) put64(at uint64, n uint64) status {
	b, ok := v.bytes(at, 8)
	if !ok {
		return statusInvalidMemory
	}
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	return statusOK
}

// stream is the effective context when it is a stream; nil for the root.
func (v *vm) stream() *Stream { return v.streams[v.effective] }

// maxLine is the longest line that reaches the log; more is cut.
const maxLine = 1024

func hostLog(v *vm, w []uint64) status {
	level, line, ok := uint32(w[0]), []byte(nil), false
	if line, ok = v.bytes(w[1], w[2]); !ok {
		return statusInvalidMemory
	}
	if level > 5 {
		return statusBadArgument
	}
	line = line[:min(len(line), maxLine)]
	v.box.Charge(int64(len(line)))
	v.p.log(level, line)
	return statusOK
}

func hostLogLevel(v *vm, w []uint64) status { return v.put32(w[0], v.p.logLevel()) }

func hostTime(v *vm, w []uint64) status { return v.put64(w[0], uint64(time.Now().UnixNano())) }

func hostTick(v *vm, w []uint64) status {
	v.period = time.Duration(uint32(w[0])) * time.Millisecond
	v.wake()
	return statusOK
}

func hostEffectiveContext(v *vm, w []uint64) status {
	id := uint32(w[0])
	if id != rootID && v.streams[id] == nil {
		return statusBadArgument
	}
	v.effective = id
	return statusOK
}

func hostDone(v *vm, _ []uint64) status {
	if v.rested == nil {
		return statusNotFound
	}
	v.rested()
	v.rested = nil
	return statusOK
}

// hostForeign knows no function.
func hostForeign(v *vm, w []uint64) status {
	_, name := v.bytes(w[0], w[1])
	_, arguments := v.bytes(w[2], w[3])
	if !name || !arguments || w[4] != 0 && !v.room32(w[4]) || w[5] != 0 && !v.room32(w[5]) {
		return statusInvalidMemory
	}
	return statusNotFound
}

func grpc(s status) func(*vm, []uint64) status { return func(*vm, []uint64) status { return s } }

func hostPthreadEqual(_ *vm, w []uint64) status {
	if uint32(w[0]) == uint32(w[1]) {
		return 1
	}
	return 0
}
