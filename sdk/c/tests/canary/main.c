// Canary is a guest for tests: it keeps what a request says, tells the next one, and shows
// its memory. With isolation fresh it can tell and show nothing.
#include "wasmgate.h"

WG_PLUGIN

static uint8_t kept[64], first;
static uint32_t kept_len;

WG_GUARD(req, res) {
	wg_allow(res);
	wg_set(res, WG_RESULT_REASON, (wg_bytes){kept, kept_len});
	wg_pair headers[] = {{WG("x-first"), {&first, 1}}};
	if (first != 0) wg_set_pairs(res, WG_RESULT_HEADERS, headers, WG_COUNT(headers));
	wg_bytes canary = wg_header(req, WG("x-canary"));
	if (canary.len == 0 || canary.len > sizeof kept) __builtin_trap();
	wg_copy(kept, canary.ptr, canary.len);
	kept_len = canary.len;
	first = kept[0];
}

// Shows a page of the memory; the length of the record is its number.
WG_EXPORT("wg_throttle") uint64_t wg_throttle(uint32_t len) { return (uint64_t)len << 48 | 1 << 16; }
