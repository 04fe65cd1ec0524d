// tokens verifies the token that the query's third part is by the key set at the URL of the second, and replies with
// the status. The first part says which pointer is wild.
#include "guest.h"

IMPORT("wasmgate.jwks.v1", "verify") int32_t verify(const void *, uint32_t, const void *, uint32_t);

EXPORT("wg_guard") uint64_t guard(uint32_t length) {
	(void)length;
	static uint8_t room[16 * 1024];
	uint32_t op, url_len, token_len;
	const uint8_t *o = argument(0, &op), *url = argument(1, &url_len), *token = argument(2, &token_len);
	const void *wild = (const void *)0xfffffff0u;
	if (!op) return 0;
	switch (o[0]) {
	case '1': say_number(verify(wild, 32, token, token_len)); break;
	case '2': say_number(verify(url, url_len, wild, 32)); break;
	case '3': say_number(verify(url, url_len, room, sizeof room)); break;
	default: say_number(verify(url, url_len, token, token_len));
	}
	return reply();
}
