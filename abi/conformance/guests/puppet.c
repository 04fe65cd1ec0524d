// puppet answers each hook with what the request's header x-wg-HOOK says:
//
//	HEX            these bytes are the result
//	?              the request record is the body of the answer (and of what is denied)
//	#              how many times this instance was called, modulo 10, is the body
//	$              "spoiled" when this instance has misbehaved before, else "clean"
//	!at HEX16      this i64 is returned
//	!tail HEX      the result stands at the very end of memory
//	!moved HEX     memory grows by a page first, and the result stands there
//	!scratch HEX   the result stands where the request stood
//	!big           1 MiB and a byte of result
//	!WORD          a trap: unreachable, divide, outside, indirect, loop, recurse, bomb
//
// Without the header a hook has no opinion, but authorize, which then allows. Its config is
// what configure answers, in hexadecimal, or one of the words.
#include "wire.h"

enum { CONFIGURE = 1, GUARD, AUTHORIZE, IDENTIFY, THROTTLE, MAP_REQUEST, CACHE_KEY, INTEGRATE, MAP_RESPONSE, OBSERVE };

static u32 calls, spoiled;

static u32 is(const u8 *text, u32 length, const char *word) {
	u32 i = 0;
	for (; word[i]; i++)
		if (i >= length || text[i] != word[i]) return 0;
	return i;
}

__attribute__((noinline)) static u32 recurse(volatile u32 *n) {
	volatile u32 here = *n + 1;
	return here ? recurse(&here) + here : 0;
}

static u32 (*volatile nothing)(void);

static u64 misbehave(const u8 *word, u32 length) {
	volatile u32 zero = 0;
	spoiled = 1;
	if (is(word, length, "divide")) return (calls + 7) / zero;
	if (is(word, length, "outside")) return *(volatile u32 *)0xfffffff0;
	if (is(word, length, "indirect")) return nothing();
	if (is(word, length, "loop"))
		for (;;) zero++;
	if (is(word, length, "recurse")) return recurse(&zero);
	if (is(word, length, "bomb"))
		while (__builtin_wasm_memory_grow(0, 1) != (u32)-1) zero++;
	__builtin_trap();
}

// shown makes bytes the body of an answer that ends the request, as far as the hook can.
static u64 shown(u32 hook, const u8 *bytes, u32 length) {
	struct out o;
	if (hook == MAP_RESPONSE) { // one edit: set_body
		o = begin(hook, 1);
		u8 *data = add(&o, 14, 6, 20 + length);
		put32(data, 1), put16(data + 4, 11), put16(data + 6, 0), put32(data + 8, 0), put32(data + 12, 4 + length);
		put32(data + 16, length); // a literal
		copy(data + 20, bytes, length);
		return finish(&o);
	}
	u32 reply = hook == GUARD || hook == MAP_REQUEST || hook == INTEGRATE;
	o = begin(hook, 3);
	add64(&o, 1, reply ? 3 : 2);
	add64(&o, 4, reply ? 200 : 418);
	copy(add(&o, 11, 1, length), bytes, length);
	return finish(&o);
}

static u64 answer(u32 hook, const u8 *text, u32 length, u32 record) {
	u32 skip;
	u8 *to = result;
	calls++;
	if (is(text, length, "?")) return shown(hook, scratch, record);
	if (is(text, length, "#")) {
		u8 n = '0' + calls % 10;
		return shown(hook, &n, 1);
	}
	if (is(text, length, "$")) return spoiled ? shown(hook, (const u8 *)"spoiled", 7) : shown(hook, (const u8 *)"clean", 5);
	if (is(text, length, "!big")) return (u64)(u32)scratch << 32 | ((1 << 20) + 1);
	if ((skip = is(text, length, "!at "))) {
		u8 raw[8];
		u64 v = 0;
		unhex(raw, text + skip, length - skip);
		for (u32 i = 0; i < 8; i++) v = v << 8 | raw[i];
		return v;
	}
	if ((skip = is(text, length, "!tail ")))
		to = (u8 *)((__builtin_wasm_memory_size(0) << 16) - (length - skip) / 2);
	else if ((skip = is(text, length, "!moved ")))
		to = (u8 *)(__builtin_wasm_memory_grow(0, 1) << 16);
	else if ((skip = is(text, length, "!scratch "))) {
		copy(result, text, length); // it stands in the scratch area itself
		text = result, to = scratch;
	} else if ((skip = is(text, length, "!")))
		return misbehave(text + skip, length - skip);
	u32 n = unhex(to, text + skip, length - skip);
	return n ? (u64)(u32)to << 32 | n : 0;
}

static u64 asked(u32 hook, const char *name, u32 record) {
	u32 length;
	const u8 *text = header(name, &length);
	if (text) return answer(hook, text, length, record);
	calls++;
	if (hook != AUTHORIZE) return 0;
	struct out o = begin(hook, 1);
	add64(&o, 1, 1);
	return finish(&o);
}

EXPORT(wg_configure) u64 configure(u32 n) {
	u32 length;
	const u8 *text = field(CONFIG, &length);
	return text && length ? answer(CONFIGURE, text, length, n) : 0;
}
EXPORT(wg_guard) u64 guard(u32 n) { return asked(GUARD, "x-wg-guard", n); }
EXPORT(wg_authorize) u64 authorize(u32 n) { return asked(AUTHORIZE, "x-wg-authorize", n); }
EXPORT(wg_identify) u64 identify(u32 n) { return asked(IDENTIFY, "x-wg-identify", n); }
EXPORT(wg_throttle) u64 throttle(u32 n) { return asked(THROTTLE, "x-wg-throttle", n); }
EXPORT(wg_map_request) u64 map_request(u32 n) { return asked(MAP_REQUEST, "x-wg-map_request", n); }
EXPORT(wg_cache_key) u64 cache_key(u32 n) { return asked(CACHE_KEY, "x-wg-cache_key", n); }
EXPORT(wg_integrate) u64 integrate(u32 n) { return asked(INTEGRATE, "x-wg-integrate", n); }
EXPORT(wg_map_response) u64 map_response(u32 n) { return asked(MAP_RESPONSE, "x-wg-map_response", n); }
EXPORT(wg_observe) u64 observe(u32 n) { return asked(OBSERVE, "x-wg-observe", n); }
