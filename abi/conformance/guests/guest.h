// What the conformance guests in C share: how they find the query of the request, and how they
// reply. It is written from abi/v1/README.md alone and knows no SDK.
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

enum { SCRATCH = 256 * 1024, OUT = 256 * 1024, QUERY = 12, CONTINUE = 0, REPLY = 3 };

static uint8_t scratch[SCRATCH];
static uint8_t out[OUT]; // the body of the reply is written here
static uint32_t out_len;

EXPORT("wg_abi_v1") void wg_abi_v1(void) {}
EXPORT("wg_scratch") uint64_t wg_scratch(void) { return (uint64_t)(uintptr_t)scratch << 32 | SCRATCH; }

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t get32(const uint8_t *p) { return get16(p) | (uint32_t)get16(p + 2) << 16; }
static void put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)v, p[1] = (uint8_t)(v >> 8); }
static void put32(uint8_t *p, uint32_t v) { put16(p, v), put16(p + 2, v >> 16); }

// field finds a field of the request by its id, skipping every other one; 0 when it is absent.
static const uint8_t *field(uint16_t id, uint32_t *len) {
	for (uint16_t i = 0; i < get16(scratch + 6); i++) {
		const uint8_t *e = scratch + 16 + 12 * i;
		if (get16(e) == id) {
			*len = get32(e + 8);
			return scratch + get32(e + 4);
		}
	}
	*len = 0;
	return 0;
}

// argument is the n-th part of the query between commas.
static const uint8_t *argument(int n, uint32_t *len) {
	uint32_t all;
	const uint8_t *p = field(QUERY, &all), *end = p + all;
	for (; n > 0 && p < end; p++)
		if (*p == ',') n--;
	const uint8_t *from = p;
	while (p < end && *p != ',') p++;
	*len = n > 0 ? 0 : (uint32_t)(p - from);
	return from;
}

static int64_t number(int n) {
	uint32_t len;
	const uint8_t *p = argument(n, &len);
	int64_t v = 0;
	for (uint32_t i = 0; i < len; i++) v = v * 10 + (p[i] - '0');
	return v;
}

static void say(const void *p, uint32_t len) {
	for (uint32_t i = 0; i < len && out_len < OUT; i++) out[out_len++] = ((const uint8_t *)p)[i];
}

static void say_number(int64_t v) {
	uint8_t digits[20];
	int n = 0;
	if (v < 0) say("-", 1), v = -v;
	do digits[n++] = (uint8_t)('0' + v % 10);
	while (v /= 10);
	while (n > 0) say(&digits[--n], 1);
}

static void say_hex(const uint8_t *p, uint32_t len) {
	for (uint32_t i = 0; i < len; i++)
		say(&"0123456789abcdef"[p[i] >> 4], 1), say(&"0123456789abcdef"[p[i] & 15], 1);
}

// reply is the result of a guard that answers with what was said: decision, then body.
static uint64_t reply(void) {
	static uint8_t result[48 + OUT];
	put32(result, 827475799), put16(result + 4, 1), put16(result + 6, 2);
	put32(result + 8, 48 + out_len), put16(result + 12, 2), put16(result + 14, 0);
	put16(result + 16, 1), put16(result + 18, 2), put32(result + 20, 40), put32(result + 24, 8);
	put16(result + 28, 11), put16(result + 30, 1), put32(result + 32, 48), put32(result + 36, out_len);
	for (int i = 0; i < 8; i++) result[40 + i] = i == 0 ? REPLY : 0;
	for (uint32_t i = 0; i < out_len; i++) result[48 + i] = out[i];
	uint32_t n = 48 + out_len;
	out_len = 0;
	return (uint64_t)(uintptr_t)result << 32 | n;
}
