// power calls the one capability that POWER names, with what the request's headers say, in
// hexadecimal: x-1 and x-2 for what a pointer leads to, x-ttl for a time. x-cap is the room for
// the answer, in decimal; x-wild names a parameter whose pointer lies outside of memory. The
// answer's header x-answer is what came back, in decimal, its body what was written.
#include "wire.h"

#define LOG 1
#define HTTP 2
#define KV_GET 3
#define KV_SET 4
#define KV_DELETE 5
#define SECRET 6
#define SHA256 7
#define HMAC 8
#define JWKS 9

#if POWER == LOG
IMPORT("wasmgate.log.v1", "write") void call(u32 level, const u8 *p, u32 n);
#elif POWER == HTTP
IMPORT("wasmgate.http.v1", "call") i64 call(const u8 *p, u32 n, u8 *out, u32 cap);
#elif POWER == KV_GET
IMPORT("wasmgate.kv.v1", "get") i64 call(const u8 *p, u32 n, u8 *out, u32 cap);
#elif POWER == KV_SET
IMPORT("wasmgate.kv.v1", "set") int call(const u8 *p, u32 n, const u8 *value, u32 m, i64 ttl);
#elif POWER == KV_DELETE
IMPORT("wasmgate.kv.v1", "delete") int call(const u8 *p, u32 n);
#elif POWER == SECRET
IMPORT("wasmgate.secret.v1", "get") i64 call(const u8 *p, u32 n, u8 *out, u32 cap);
#elif POWER == SHA256
IMPORT("wasmgate.crypto.v1", "sha256") int call(const u8 *p, u32 n, u8 *out);
#elif POWER == HMAC
IMPORT("wasmgate.crypto.v1", "hmac_sha256") int call(const u8 *p, u32 n, const u8 *data, u32 m, u8 *out);
#elif POWER == JWKS
IMPORT("wasmgate.jwks.v1", "verify") int call(const u8 *p, u32 n, const u8 *token, u32 m);
#endif

static u8 one[128 << 10], two[128 << 10], got[128 << 10];

static u32 decimal(const char *name, u32 without) {
	u32 n, v = 0;
	const u8 *text = header(name, &n);
	if (!text) return without;
	for (u32 i = 0; i < n; i++) v = v * 10 + text[i] - '0';
	return v;
}

EXPORT(wg_guard) u64 guard(u32 record) {
	u32 n = 0, m = 0, written = 0;
	const u8 *text;
	(void)record;
	if ((text = header("x-1", &n))) n = unhex(one, text, n);
	if ((text = header("x-2", &m))) m = unhex(two, text, m);
	u32 cap = decimal("x-cap", sizeof got), wild = decimal("x-wild", 0);
	u8 *p = wild == 1 ? (u8 *)0xfffffff0 : one, *q = wild == 2 ? (u8 *)0xfffffff0 : two, *out = wild == 3 ? (u8 *)0xfffffff0 : got;
	i64 answer = 0;
	(void)p, (void)q, (void)out, (void)cap;
#if POWER == LOG
	call(1, p, n);
#elif POWER == HTTP || POWER == KV_GET || POWER == SECRET
	answer = call(p, n, out, cap);
	if (answer > 0 && answer <= cap) written = answer;
#elif POWER == KV_SET
	answer = call(p, n, q, m, decimal("x-ttl", 0));
#elif POWER == KV_DELETE
	answer = call(p, n);
#elif POWER == SHA256
	answer = call(p, n, out);
	if (!answer) written = 32;
#elif POWER == HMAC
	answer = call(p, n, q, m, out);
	if (!answer) written = 32;
#elif POWER == JWKS
	answer = call(p, n, q, m);
#endif
	// The answer's header: one pair, x-answer and the number.
	u8 digits[24];
	u32 at = sizeof digits;
	u64 rest = answer < 0 ? -(u64)answer : (u64)answer;
	do digits[--at] = '0' + rest % 10;
	while (rest /= 10);
	if (answer < 0) digits[--at] = '-';
	u32 length = sizeof digits - at;
	struct out o = begin(2, 3);
	add64(&o, 1, 3);
	u8 *data = add(&o, 10, 3, 4 + 8 + 8 + length);
	put32(data, 1), put32(data + 4, 8), put32(data + 8, length);
	copy(data + 12, (const u8 *)"x-answer", 8);
	copy(data + 20, digits + at, length);
	copy(add(&o, 11, 1, written), got, written);
	return finish(&o);
}
