// The Wasmgate SDK for C: one header, freestanding, no allocator. See README.md.
#ifndef WASMGATE_H
#define WASMGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wasmgate_abi.h"

// WG_SCRATCH_BYTES is the longest request record; the host refuses longer ones with 413.
// A plugin that asks for bodies defines it as their max and 256 KiB more.
#ifndef WG_SCRATCH_BYTES
#define WG_SCRATCH_BYTES (320 << 10)
#endif

// WG_RESULT_BYTES is the longest result; a longer one traps.
#ifndef WG_RESULT_BYTES
#define WG_RESULT_BYTES (64 << 10)
#endif

// wg_bytes is text or other bytes; a null ptr is an absent field.
typedef struct {
	const uint8_t *ptr;
	uint32_t len;
} wg_bytes;

// WG makes bytes of a literal.
#define WG(literal) ((wg_bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

typedef struct {
	wg_bytes name, value;
} wg_pair;

// wg_part is a piece of a value that the host joins: WG_TEXT or WG_SELECT.
typedef struct {
	bool select;
	wg_bytes text;
} wg_part;

typedef struct {
	const wg_part *parts;
	uint32_t count;
} wg_value;

#define WG_TEXT(bytes) ((wg_part){false, bytes})
#define WG_SELECT(bytes) ((wg_part){true, bytes})
#define WG_VALUE(...) \
	((wg_value){(const wg_part[]){__VA_ARGS__}, sizeof((const wg_part[]){__VA_ARGS__}) / sizeof(wg_part)})

// wg_edit is one change: a WG_OP_, a name where the operation has one, a value where it has one.
typedef struct {
	uint16_t op;
	wg_bytes name;
	wg_value value;
} wg_edit;

// wg_bucket is a token bucket: rate is tokens a second; no key is one bucket for all.
typedef struct {
	wg_bytes name;
	wg_value key;
	double rate;
	uint64_t burst, cost;
} wg_bucket;

// wg_record is a request, or a capability's answer. It holds until the hook returns.
typedef struct {
	const uint8_t *ptr;
	uint32_t len;
} wg_record;

// wg_result is being written: data behind a table with room for every field.
typedef struct {
	uint8_t *buf;
	uint32_t cap, end;
	uint16_t hook;
	uint64_t present;
	struct {
		uint16_t type;
		uint32_t at, len;
	} fields[WG_MAX_FIELDS];
} wg_result;

#define WG_DATA_START (WG_HEADER_BYTES + WG_MAX_FIELDS * WG_ENTRY_BYTES)

static inline void wg_copy(uint8_t *to, const void *from, uint32_t len) {
	if (len > 0) __builtin_memcpy(to, from, len);
}

static inline uint16_t wg_load16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t wg_load32(const uint8_t *p) { return wg_load16(p) | (uint32_t)wg_load16(p + 2) << 16; }
static inline uint64_t wg_load64(const uint8_t *p) { return wg_load32(p) | (uint64_t)wg_load32(p + 4) << 32; }

static inline bool wg_equal(wg_bytes a, wg_bytes b) {
	if (a.len != b.len) return false;
	for (uint32_t i = 0; i < a.len; i++)
		if (a.ptr[i] != b.ptr[i]) return false;
	return true;
}

// wg_cut takes prefix away from the beginning of b.
static inline bool wg_cut(wg_bytes *b, wg_bytes prefix) {
	if (b->len < prefix.len || !wg_equal((wg_bytes){b->ptr, prefix.len}, prefix)) return false;
	b->ptr += prefix.len;
	b->len -= prefix.len;
	return true;
}

// wg_valid says whether the header and the table are as the contract has them.
static inline bool wg_valid(wg_record r) {
	if (r.len < WG_HEADER_BYTES || wg_load32(r.ptr) != WG_MAGIC || wg_load16(r.ptr + 4) != WG_VERSION) return false;
	uint32_t count = wg_load16(r.ptr + 6), last = 0;
	if (wg_load32(r.ptr + 8) != r.len || wg_load16(r.ptr + 14) != 0 || count > WG_MAX_FIELDS) return false;
	if (r.len - WG_HEADER_BYTES < count * WG_ENTRY_BYTES) return false;
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *e = r.ptr + WG_HEADER_BYTES + i * WG_ENTRY_BYTES;
		uint32_t id = wg_load16(e), at = wg_load32(e + 4);
		if (i > 0 && id <= last) return false;
		if (at > r.len || wg_load32(e + 8) > r.len - at) return false;
		last = id;
	}
	return true;
}

// wg_field is the data of a field that has that type; its ptr is null when it is absent.
static inline wg_bytes wg_field(wg_record r, uint16_t id, uint16_t type) {
	uint32_t count = wg_load16(r.ptr + 6);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *e = r.ptr + WG_HEADER_BYTES + i * WG_ENTRY_BYTES;
		if (wg_load16(e) != id) continue;
		if (wg_load16(e + 2) != type) __builtin_trap();
		return (wg_bytes){r.ptr + wg_load32(e + 4), wg_load32(e + 8)};
	}
	return (wg_bytes){NULL, 0};
}

static inline wg_bytes wg_get(wg_record r, uint16_t id) { return wg_field(r, id, WG_TYPE_BYTES); }

// wg_number gives a number; false when it is absent.
static inline bool wg_number(wg_record r, uint16_t id, uint64_t *out) {
	wg_bytes b = wg_field(r, id, WG_TYPE_U64);
	if (b.ptr == NULL) return false;
	if (b.len != 8) __builtin_trap();
	*out = wg_load64(b.ptr);
	return true;
}

// wg_pairs_iter walks over a list: wg_pairs_iter it = wg_pairs(r, id); while (wg_next(&it, &pair)) ...
typedef struct {
	wg_bytes rest;
	uint32_t left;
} wg_pairs_iter;

static inline wg_pairs_iter wg_pairs(wg_record r, uint16_t id) {
	wg_bytes b = wg_field(r, id, WG_TYPE_PAIRS);
	if (b.ptr == NULL) return (wg_pairs_iter){b, 0};
	if (b.len < 4) __builtin_trap();
	return (wg_pairs_iter){{b.ptr + 4, b.len - 4}, wg_load32(b.ptr)};
}

static inline bool wg_next(wg_pairs_iter *it, wg_pair *out) {
	if (it->left == 0) {
		if (it->rest.len != 0) __builtin_trap();
		return false;
	}
	if (it->rest.len < 8) __builtin_trap();
	uint32_t name = wg_load32(it->rest.ptr), value = wg_load32(it->rest.ptr + 4);
	uint32_t room = it->rest.len - 8;
	if (name > room || value > room - name) __builtin_trap();
	const uint8_t *p = it->rest.ptr + 8;
	*out = (wg_pair){{p, name}, {p + name, value}};
	it->rest = (wg_bytes){p + name + value, room - name - value};
	it->left--;
	return true;
}

// wg_first is the first value of a name in a list of pairs.
static inline wg_bytes wg_first(wg_record r, uint16_t id, wg_bytes name) {
	wg_pairs_iter it = wg_pairs(r, id);
	for (wg_pair p; wg_next(&it, &p);)
		if (wg_equal(p.name, name)) return p.value;
	return (wg_bytes){NULL, 0};
}

// wg_only is the value of a name that occurs once. A name that occurs twice is as absent: what
// reads one of two headers may read another one than the upstream.
static inline wg_bytes wg_only(wg_record r, uint16_t id, wg_bytes name) {
	wg_bytes found = {NULL, 0};
	wg_pairs_iter it = wg_pairs(r, id);
	for (wg_pair p; wg_next(&it, &p);) {
		if (!wg_equal(p.name, name)) continue;
		if (found.ptr != NULL) return (wg_bytes){NULL, 0};
		found = p.value;
	}
	return found;
}

static inline wg_bytes wg_header(wg_record r, wg_bytes name) { return wg_only(r, WG_FIELD_HEADERS, name); }

// wg_start begins a record in buf, which has cap bytes.
static inline void wg_start(wg_result *w, uint8_t *buf, uint32_t cap, uint16_t hook) {
	if (cap < WG_DATA_START) __builtin_trap();
	w->buf = buf, w->cap = cap, w->end = WG_DATA_START, w->hook = hook, w->present = 0;
}

static inline uint8_t *wg_room(wg_result *w, uint32_t len) {
	if (len > w->cap - w->end) __builtin_trap();
	uint8_t *p = w->buf + w->end;
	w->end += len;
	return p;
}

static inline void wg_store16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)v, p[1] = (uint8_t)(v >> 8); }
static inline void wg_store32(uint8_t *p, uint32_t v) { wg_store16(p, (uint16_t)v), wg_store16(p + 2, (uint16_t)(v >> 16)); }
static inline void wg_store64(uint8_t *p, uint64_t v) { wg_store32(p, (uint32_t)v), wg_store32(p + 4, (uint32_t)(v >> 32)); }
static inline void wg_put32(wg_result *w, uint32_t v) { wg_store32(wg_room(w, 4), v); }
static inline void wg_put64(wg_result *w, uint64_t v) { wg_store64(wg_room(w, 8), v); }
static inline void wg_put(wg_result *w, wg_bytes b) { wg_copy(wg_room(w, b.len), b.ptr, b.len); }

static inline void wg_begin(wg_result *w, uint16_t id, uint16_t type) {
	if (id >= WG_MAX_FIELDS || w->present >> id & 1) __builtin_trap();
	w->present |= (uint64_t)1 << id;
	w->fields[id].type = type;
	w->fields[id].at = w->end;
}

static inline void wg_end(wg_result *w, uint16_t id) { w->fields[id].len = w->end - w->fields[id].at; }

// The setters write a WG_RESULT_ field, in any order, each once. What they are given is copied.
static inline void wg_set(wg_result *w, uint16_t id, wg_bytes b) {
	wg_begin(w, id, WG_TYPE_BYTES);
	wg_put(w, b);
	wg_end(w, id);
}

static inline void wg_set_number(wg_result *w, uint16_t id, uint64_t v) {
	wg_begin(w, id, WG_TYPE_U64);
	wg_put64(w, v);
	wg_end(w, id);
}

static inline void wg_set_pairs(wg_result *w, uint16_t id, const wg_pair *pairs, uint32_t count) {
	wg_begin(w, id, WG_TYPE_PAIRS);
	wg_put32(w, count);
	for (uint32_t i = 0; i < count; i++) {
		wg_put32(w, pairs[i].name.len);
		wg_put32(w, pairs[i].value.len);
		wg_put(w, pairs[i].name);
		wg_put(w, pairs[i].value);
	}
	wg_end(w, id);
}

static inline void wg_set_names(wg_result *w, uint16_t id, const wg_bytes *names, uint32_t count) {
	wg_begin(w, id, WG_TYPE_NAMES);
	wg_put32(w, count);
	for (uint32_t i = 0; i < count; i++) {
		wg_put32(w, names[i].len);
		wg_put(w, names[i]);
	}
	wg_end(w, id);
}

static inline void wg_put_value(wg_result *w, wg_value v) {
	for (uint32_t i = 0; i < v.count; i++) {
		wg_put32(w, v.parts[i].text.len | (v.parts[i].select ? 0x80000000u : 0));
		wg_put(w, v.parts[i].text);
	}
}

static inline void wg_put_named(wg_result *w, wg_bytes name, wg_value v) {
	wg_put32(w, name.len);
	uint8_t *len = wg_room(w, 4);
	wg_put(w, name);
	uint32_t start = w->end;
	wg_put_value(w, v);
	wg_store32(len, w->end - start);
}

static inline void wg_set_value(wg_result *w, uint16_t id, wg_value v) {
	wg_begin(w, id, WG_TYPE_VALUE);
	wg_put_value(w, v);
	wg_end(w, id);
}

static inline void wg_set_edits(wg_result *w, const wg_edit *edits, uint32_t count) {
	wg_begin(w, WG_RESULT_EDITS, WG_TYPE_EDITS);
	wg_put32(w, count);
	for (uint32_t i = 0; i < count; i++) {
		wg_put32(w, edits[i].op); // u16 op, u16 zero
		wg_put_named(w, edits[i].name, edits[i].value);
	}
	wg_end(w, WG_RESULT_EDITS);
}

static inline void wg_set_buckets(wg_result *w, const wg_bucket *buckets, uint32_t count) {
	wg_begin(w, WG_RESULT_BUCKETS, WG_TYPE_BUCKETS);
	wg_put32(w, count);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t rate;
		__builtin_memcpy(&rate, &buckets[i].rate, 8);
		wg_put64(w, rate);
		wg_put64(w, buckets[i].burst);
		wg_put64(w, buckets[i].cost);
		wg_put_named(w, buckets[i].name, buckets[i].key);
	}
	wg_end(w, WG_RESULT_BUCKETS);
}

#define WG_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WG_EDITS(res, ...) \
	wg_set_edits(res, (const wg_edit[]){__VA_ARGS__}, WG_COUNT(((const wg_edit[]){__VA_ARGS__})))
#define WG_BUCKETS(res, ...) \
	wg_set_buckets(res, (const wg_bucket[]){__VA_ARGS__}, WG_COUNT(((const wg_bucket[]){__VA_ARGS__})))

static inline void wg_decide(wg_result *w, uint64_t decision) { wg_set_number(w, WG_RESULT_DECISION, decision); }
static inline void wg_deny(wg_result *w) { wg_decide(w, WG_DECISION_DENY); }
static inline void wg_allow(wg_result *w) { wg_decide(w, WG_DECISION_ALLOW); }

// wg_for_route keeps the result for every request of the route: only for what does not depend
// on the request but by selectors.
static inline void wg_for_route(wg_result *w) { wg_set_number(w, WG_RESULT_SCOPE, WG_SCOPE_ROUTE); }

// wg_for_identity keeps the result for ttl_ms for the identity that configure named.
static inline void wg_for_identity(wg_result *w, uint64_t ttl_ms) {
	wg_set_number(w, WG_RESULT_SCOPE, WG_SCOPE_IDENTITY);
	wg_set_number(w, WG_RESULT_TTL_MS, ttl_ms);
}

// wg_finish is the record; its len is 0 when no field was set.
static inline wg_bytes wg_finish(wg_result *w) {
	uint32_t count = (uint32_t)__builtin_popcountll(w->present);
	if (count == 0) return (wg_bytes){NULL, 0};
	// The table ends where the data begin, so that nothing moves.
	uint32_t start = WG_DATA_START - WG_HEADER_BYTES - count * WG_ENTRY_BYTES;
	uint8_t *p = w->buf + start;
	wg_store32(p, WG_MAGIC);
	wg_store16(p + 4, WG_VERSION);
	wg_store16(p + 6, (uint16_t)count);
	wg_store32(p + 8, w->end - start);
	wg_store16(p + 12, w->hook);
	wg_store16(p + 14, 0);
	p += WG_HEADER_BYTES;
	for (uint16_t id = 0; id < WG_MAX_FIELDS; id++) {
		if (!(w->present >> id & 1)) continue;
		wg_store16(p, id);
		wg_store16(p + 2, w->fields[id].type);
		wg_store32(p + 4, w->fields[id].at - start);
		wg_store32(p + 8, w->fields[id].len);
		p += WG_ENTRY_BYTES;
	}
	return (wg_bytes){w->buf + start, w->end - start};
}

// Capabilities: each call is one import and one power. An answer below 0 is a WG_STATUS_.
static inline void wg_log(int32_t level, wg_bytes line) { wg_import_log_write(level, line.ptr, line.len); }
static inline int64_t wg_http_call(wg_bytes call, uint8_t *out, uint32_t cap) { return wg_import_http_call(call.ptr, call.len, out, cap); }
static inline int64_t wg_kv_get(wg_bytes key, uint8_t *out, uint32_t cap) { return wg_import_kv_get(key.ptr, key.len, out, cap); }
static inline int32_t wg_kv_set(wg_bytes key, wg_bytes value, int64_t ttl_ms) { return wg_import_kv_set(key.ptr, key.len, value.ptr, value.len, ttl_ms); }
static inline int32_t wg_kv_delete(wg_bytes key) { return wg_import_kv_delete(key.ptr, key.len); }
static inline int64_t wg_secret_get(wg_bytes name, uint8_t *out, uint32_t cap) { return wg_import_secret_get(name.ptr, name.len, out, cap); }
static inline int32_t wg_sha256(wg_bytes data, uint8_t out[32]) { return wg_import_crypto_sha256(data.ptr, data.len, out); }
static inline int32_t wg_hmac_sha256(wg_bytes secret, wg_bytes data, uint8_t out[32]) { return wg_import_crypto_hmac_sha256(secret.ptr, secret.len, data.ptr, data.len, out); }
static inline int32_t wg_jwks_verify(wg_bytes url, wg_bytes token) { return wg_import_jwks_verify(url.ptr, url.len, token.ptr, token.len); }

// wg_status_name is a status in words; what is unknown is internal.
static inline wg_bytes wg_status_name(int64_t status) {
	switch (status) {
	case WG_STATUS_OK: return WG("ok");
	case WG_STATUS_NOT_FOUND: return WG("not found");
	case WG_STATUS_NOT_GRANTED: return WG("not granted");
	case WG_STATUS_BAD_ARGUMENT: return WG("bad argument");
	case WG_STATUS_INVALID: return WG("invalid");
	case WG_STATUS_UNAVAILABLE: return WG("unavailable");
	case WG_STATUS_TIMEOUT: return WG("timeout");
	case WG_STATUS_LIMIT: return WG("limit");
	}
	return WG("internal");
}

// WG_PLUGIN stands once in a plugin: the exports that every plugin has, and its memory.
#define WG_PLUGIN \
	static uint8_t wg_scratch_area[WG_SCRATCH_BYTES], wg_result_area[WG_RESULT_BYTES]; \
	static wg_result wg_result_now; \
	WG_EXPORT("wg_abi_v1") void wg_abi_v1(void) {} \
	WG_EXPORT("wg_scratch") uint64_t wg_scratch(void) { return (uint64_t)(uintptr_t)wg_scratch_area << 32 | WG_SCRATCH_BYTES; } \
	static uint64_t wg_call(uint32_t len, uint16_t hook, void (*f)(wg_record, wg_result *)) { \
		wg_record r = {wg_scratch_area, len}; \
		if (!wg_valid(r)) __builtin_trap(); \
		wg_start(&wg_result_now, wg_result_area, WG_RESULT_BYTES, hook); \
		f(r, &wg_result_now); \
		wg_bytes out = wg_finish(&wg_result_now); \
		return (uint64_t)(uintptr_t)out.ptr << 32 | out.len; \
	}

#define WG_EXPORT(name) __attribute__((used, visibility("default"), export_name(name)))
#define WG_HOOK(lower, id, req, res) \
	static void wg_on_##lower(wg_record, wg_result *); \
	WG_EXPORT("wg_" #lower) uint64_t wg_##lower(uint32_t len) { return wg_call(len, id, wg_on_##lower); } \
	static void wg_on_##lower(wg_record req, wg_result *res)

// The hooks: WG_AUTHORIZE(req, res) { ... }. Those that stand in a plugin are exported.
#define WG_CONFIGURE(req, res) WG_HOOK(configure, WG_HOOK_CONFIGURE, req, res)
#define WG_GUARD(req, res) WG_HOOK(guard, WG_HOOK_GUARD, req, res)
#define WG_AUTHORIZE(req, res) WG_HOOK(authorize, WG_HOOK_AUTHORIZE, req, res)
#define WG_IDENTIFY(req, res) WG_HOOK(identify, WG_HOOK_IDENTIFY, req, res)
#define WG_THROTTLE(req, res) WG_HOOK(throttle, WG_HOOK_THROTTLE, req, res)
#define WG_MAP_REQUEST(req, res) WG_HOOK(map_request, WG_HOOK_MAP_REQUEST, req, res)
#define WG_CACHE_KEY(req, res) WG_HOOK(cache_key, WG_HOOK_CACHE_KEY, req, res)
#define WG_INTEGRATE(req, res) WG_HOOK(integrate, WG_HOOK_INTEGRATE, req, res)
#define WG_MAP_RESPONSE(req, res) WG_HOOK(map_response, WG_HOOK_MAP_RESPONSE, req, res)
#define WG_OBSERVE(req, res) WG_HOOK(observe, WG_HOOK_OBSERVE, req, res)

#endif
