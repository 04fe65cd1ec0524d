// keep does what the query says (get,NAME[,CAP] hmac,NAME,TEXT and wild pointers) and replies with the
// status or length, a colon, and the secret or the HMAC in hex.
#include "guest.h"

IMPORT("wasmgate.secret.v1", "get") int64_t secret_get(const void *, uint32_t, void *, uint32_t);
IMPORT("wasmgate.crypto.v1", "hmac_sha256") int32_t hmac(const void *, uint32_t, const void *, uint32_t, void *);

static uint8_t room[1024];

EXPORT("wg_guard") uint64_t guard(uint32_t length) {
	(void)length;
	uint32_t op, name_len, len;
	const uint8_t *o = argument(0, &op), *name = argument(1, &name_len), *text = argument(2, &len);
	void *wild = (void *)0xfffffff0u;
	int64_t status;
	room[0] = '?';
	switch (op ? o[0] : 0) {
	case 'g': {
		uint32_t cap = len ? (uint32_t)number(2) : sizeof room;
		status = secret_get(name, name_len, room, cap);
		say_number(status), say(":", 1);
		if (status >= 0) say(room, status <= cap ? (uint32_t)status : 1);
		return reply();
	}
	case 'h':
		status = hmac(name, name_len, text, len, room);
		say_number(status), say(":", 1);
		if (status == 0) say_hex(room, 32);
		return reply();
	case '1': status = secret_get(wild, 32, room, sizeof room); break;
	case '2': status = secret_get(name, name_len, wild, 32); break;
	case '3': status = hmac(wild, 32, text, len, room); break;
	case '4': status = hmac(name, name_len, wild, 32, room); break;
	case '5': status = hmac(name, name_len, text, len, wild); break;
	default: return 0;
	}
	say_number(status), say(":", 1);
	return reply();
}
