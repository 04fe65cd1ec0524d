package guest

import (
	cryptorand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"

	"github.com/tetratelabs/wazero/api"

	abi "github.com/wasmgate/wasmgate/abi/v1"
)

const wasiModule = "wasi_snapshot_preview1"

// Error numbers of WASI preview 1.
const (
	errnoSuccess    = 0
	errnoBadFile    = 8
	errnoFault      = 21
	errnoInvalid    = 28
	errnoNotSup     = 58
	errnoNotCapable = 76
)

// shim is one function of WASI: its parameters, i for i32 and I for i64, and what it does.
type shim struct {
	types string
	call  function
	ends  bool // it does not return, and so has no errno
}

func (s shim) params() []api.ValueType {
	out := make([]api.ValueType, len(s.types))
	for i, c := range s.types {
		out[i] = api.ValueTypeI32
		if c == 'I' {
			out[i] = api.ValueTypeI64
		}
	}
	return out
}

func (s shim) results() []api.ValueType {
	if s.ends {
		return nil
	}
	return []api.ValueType{api.ValueTypeI32}
}

func (s shim) signature() string { return signature(s.params(), s.results()) }

// wasi is what language runtimes may import of WASI preview 1 by name. What needs a file, a
// socket or an environment answers as if there were none.
func wasi() map[string]shim {
	shims := map[string]shim{
		"args_get":            {types: "ii", call: errno(errnoSuccess)},
		"args_sizes_get":      {types: "ii", call: wasiNone},
		"environ_get":         {types: "ii", call: errno(errnoSuccess)},
		"environ_sizes_get":   {types: "ii", call: wasiNone},
		"clock_res_get":       {types: "ii", call: wasiClockRes},
		"clock_time_get":      {types: "iIi", call: wasiClockTime},
		"random_get":          {types: "ii", call: wasiRandom},
		"sched_yield":         {call: errno(errnoSuccess)},
		"poll_oneoff":         {types: "iiii", call: wasiPoll},
		"proc_exit":           {types: "i", call: wasiExit, ends: true},
		"proc_raise":          {types: "i", call: wasiExit},
		"fd_write":            {types: "iiii", call: wasiWrite},
		"fd_read":             {types: "iiii", call: wasiRead},
		"fd_close":            {types: "i", call: wasiStandard},
		"fd_fdstat_get":       {types: "ii", call: wasiFileState},
		"fd_fdstat_set_flags": {types: "ii", call: wasiStandard},
	}
	refused := map[string]map[string]string{
		"fd": {"advise": "iIIi", "allocate": "iII", "datasync": "i", "fdstat_set_rights": "iII", "filestat_get": "ii",
			"filestat_set_size": "iI", "filestat_set_times": "iIIi", "pread": "iiiIi", "prestat_get": "ii",
			"prestat_dir_name": "iii", "pwrite": "iiiIi", "readdir": "iiiIi", "renumber": "ii", "seek": "iIii",
			"sync": "i", "tell": "ii"},
		"path": {"create_directory": "iii", "filestat_get": "iiiii", "filestat_set_times": "iiiiIIi", "link": "iiiiiii",
			"open": "iiiiiIIii", "readlink": "iiiiii", "remove_directory": "iii", "rename": "iiiiii", "symlink": "iiiii",
			"unlink_file": "iii"},
		"sock": {"accept": "iii", "recv": "iiiiii", "send": "iiiii", "shutdown": "ii"},
	}
	codes := map[string]uint64{"fd": errnoBadFile, "path": errnoNotCapable, "sock": errnoNotSup}
	for prefix, names := range refused {
		for name, types := range names {
			shims[prefix+"_"+name] = shim{types: types, call: errno(codes[prefix])}
		}
	}
	return shims
}

func errno(code uint64) function {
	return func(_ *instance, words []uint64) {
		if len(words) > 0 {
			words[0] = code
		}
	}
}

// put32 and put64 store a number in the guest's memory and answer the errno.
func (in *instance) put32(at uint64, v uint32) uint64 {
	if !in.mem.WriteUint32Le(uint32(at), v) {
		return errnoFault
	}
	return errnoSuccess
}

func (in *instance) put64(at uint64, v uint64) uint64 {
	if !in.mem.WriteUint64Le(uint32(at), v) {
		return errnoFault
	}
	return errnoSuccess
}

// wasiNone tells that there are no arguments or variables: neither number nor bytes.
func wasiNone(in *instance, words []uint64) {
	words[0] = max(in.put32(words[0], 0), in.put32(words[1], 0))
}

// wasiStandard is success for the three standard files, of which nothing can be changed.
func wasiStandard(_ *instance, words []uint64) {
	if uint32(words[0]) > 2 {
		words[0] = errnoBadFile
		return
	}
	words[0] = errnoSuccess
}

func wasiFileState(in *instance, words []uint64) {
	fd := uint32(words[0])
	state, ok := in.bytes(words[1], 24)
	switch {
	case fd > 2:
		words[0] = errnoBadFile
	case !ok:
		words[0] = errnoFault
	default:
		clear(state)
		state[0] = 2      // a character device
		state[8] = 1 << 1 // may be read
		if fd > 0 {
			state[8] = 1 << 6 // may be written
		}
		words[0] = errnoSuccess
	}
}

// wasiRead: standard input is at its end.
func wasiRead(in *instance, words []uint64) {
	if uint32(words[0]) != 0 {
		words[0] = errnoBadFile
		return
	}
	words[0] = in.put32(words[3], 0)
}

const maxVectors = 1024

// wasiWrite takes standard output and error for the log.
func wasiWrite(in *instance, words []uint64) {
	fd, count := uint32(words[0]), uint64(uint32(words[2]))
	vectors, ok := in.bytes(words[1], count*8)
	switch {
	case fd != 1 && fd != 2:
		words[0] = errnoBadFile
		return
	case count > maxVectors:
		words[0] = errnoInvalid
		return
	case !ok:
		words[0] = errnoFault
		return
	}
	level := slog.LevelInfo
	switch {
	case fd == 2 && in.sandbox != nil:
		level = slog.LevelError // as their hosts have it
	case fd == 2:
		level = slog.LevelWarn
	}
	total := uint32(0)
	for ; len(vectors) > 0; vectors = vectors[8:] {
		b, ok := in.bytes(uint64(binary.LittleEndian.Uint32(vectors)), uint64(binary.LittleEndian.Uint32(vectors[4:])))
		if !ok {
			words[0] = errnoFault
			return
		}
		in.charge(int64(len(b)))
		in.output.write(in, level, b)
		total += uint32(len(b))
	}
	words[0] = in.put32(words[3], total)
}

// output gathers what a guest writes into lines: runtimes write a panic in many pieces.
type output struct {
	level slog.Level
	n     int
	line  [maxLine]byte
	first string // line of the call that was written to standard error
}

func (o *output) write(in *instance, level slog.Level, b []byte) {
	if level != o.level {
		o.flush(in)
		o.level = level
	}
	for _, c := range b {
		if c == '\n' {
			o.flush(in)
		} else if o.n < len(o.line) {
			o.line[o.n] = c
			o.n++
		}
	}
}

func (o *output) flush(in *instance) {
	if o.n == 0 {
		return
	}
	line := o.line[:o.n]
	o.n = 0
	if o.first == "" && o.level >= slog.LevelWarn {
		o.first = strings.ToValidUTF8(string(line), "\uFFFD")
	}
	in.line(o.level, line)
}

// wasiExit ends the guest.
func wasiExit(_ *instance, words []uint64) {
	panic(exitError(uint32(words[0])))
}

// exitError is the code with which a guest ended itself.
type exitError uint32

func (e exitError) Error() string { return fmt.Sprintf("guest ended itself with code %d", uint32(e)) }

var errNoFuel = errors.New("no fuel left for the host's work")

// clock is the guest's time in nanoseconds: that of the record, plus what the guest slept.
type clock struct {
	known     bool
	real      uint64
	monotonic uint64 // over all calls of the instance
}

// now reads the time of the record, once a call. Only who asks pays for it.
func (in *instance) now() *clock {
	c := &in.clock
	if in.sandbox != nil { // strangers' guests measure and throw dice with what they get
		c.real = uint64(in.p.host.now().UnixNano())
		c.monotonic = max(c.monotonic, c.real)
		return c
	}
	if !c.known {
		c.known = true
		ms, _ := in.field(abi.FieldTimeMS)
		c.real = ms * 1e6
		c.monotonic = max(c.monotonic, c.real, 1) // Go refuses to start at zero
	}
	return c
}

// field is a number of the request's record; false when it is not there, as at the start.
func (in *instance) field(f abi.Field) (uint64, bool) {
	r, err := abi.ParseRequest(in.request)
	if err != nil {
		return 0, false
	}
	return r.Uint(f)
}

func wasiClockRes(in *instance, words []uint64) { words[0] = in.put64(words[1], 1e6) }

func wasiClockTime(in *instance, words []uint64) {
	c := in.now()
	switch uint32(words[0]) {
	case 0:
		words[0] = in.put64(words[2], c.real)
	case 1, 2, 3: // monotonic, and the CPU clocks
		words[0] = in.put64(words[2], c.monotonic)
	default:
		words[0] = errnoInvalid
	}
}

// random is the guest's randomness: by the module's digest, and in a call by its seed too,
// so that a record can be replayed.
type random struct {
	known  bool
	source *rand.ChaCha8
}

func wasiRandom(in *instance, words []uint64) {
	b, ok := in.bytes(words[0], words[1])
	if !ok {
		words[0] = errnoFault
		return
	}
	in.charge(int64(len(b)))
	if in.sandbox != nil {
		_, _ = cryptorand.Read(b) // it never fails
		words[0] = errnoSuccess
		return
	}
	if !in.random.known {
		seed := in.p.module.digest
		n, _ := in.field(abi.FieldSeed)
		binary.LittleEndian.PutUint64(seed[:], binary.LittleEndian.Uint64(seed[:])^n)
		in.random = random{true, rand.NewChaCha8(seed)}
	}
	_, _ = in.random.source.Read(b) // it never fails
	words[0] = errnoSuccess
}

// wasiPoll does not wait: a sleep moves the guest's own clock on, and files are bad.
func wasiPoll(in *instance, words []uint64) {
	const subscription, event = 48, 32
	n := uint64(uint32(words[2]))
	subscriptions, ok := in.bytes(words[0], n*subscription)
	events, room := in.bytes(words[1], n*event)
	switch {
	case n == 0 || n > maxVectors:
		words[0] = errnoInvalid
		return
	case !ok || !room:
		words[0] = errnoFault
		return
	}
	c, told := in.now(), 0
	tell := func(s []byte, code uint16) {
		e := events[told*event:][:event]
		clear(e)
		copy(e, s[:8]) // user data
		binary.LittleEndian.PutUint16(e[8:], code)
		e[10] = s[8]
		told++
	}
	soonest, sleep := -1, ^uint64(0)
	for i := range int(n) {
		s := subscriptions[i*subscription:][:subscription]
		if s[8] != 0 { // not a clock
			tell(s, errnoBadFile)
			continue
		}
		wait := binary.LittleEndian.Uint64(s[24:])
		if s[40]&1 != 0 { // a time, not a duration
			at := c.monotonic
			if binary.LittleEndian.Uint32(s[16:]) == 0 {
				at = c.real
			}
			wait -= min(wait, at)
		}
		if wait < sleep {
			soonest, sleep = i, wait
		}
	}
	if told == 0 && soonest >= 0 {
		c.real += sleep
		c.monotonic += sleep
		tell(subscriptions[soonest*subscription:][:subscription], errnoSuccess)
	}
	words[0] = in.put32(words[3], uint32(told))
}
