// observed stores what observe gets of a PUT; guard replies with what is stored, once there is something.
#include "guest.h"

IMPORT("wasmgate.kv.v1", "get") int64_t kv_get(const void *, uint32_t, void *, uint32_t);
IMPORT("wasmgate.kv.v1", "set") int32_t kv_set(const void *, uint32_t, const void *, uint32_t, int64_t);

enum { METHOD = 8 };

static const char key[] = "conformance/observed";

EXPORT("wg_observe") uint64_t observe(uint32_t length) {
	uint32_t len;
	const uint8_t *method = field(METHOD, &len);
	if (len == 3 && method[0] == 'P' && kv_set(key, sizeof key - 1, scratch, length, 0) != 0) __builtin_trap();
	return 0;
}

EXPORT("wg_guard") uint64_t guard(uint32_t length) {
	(void)length;
	int64_t n = kv_get(key, sizeof key - 1, out, OUT);
	if (n < 0) return 0;
	out_len = (uint32_t)n;
	return reply();
}
