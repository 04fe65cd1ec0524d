// store does what the query says (get,KEY[,CAP] set,KEY,VALUE[,TTL] delete,KEY fill,KEY,BYTES and wild
// pointers) and replies with the status or length, a colon, and the value.
#include "guest.h"

IMPORT("wasmgate.kv.v1", "get") int64_t kv_get(const void *, uint32_t, void *, uint32_t);
IMPORT("wasmgate.kv.v1", "set") int32_t kv_set(const void *, uint32_t, const void *, uint32_t, int64_t);
IMPORT("wasmgate.kv.v1", "delete") int32_t kv_delete(const void *, uint32_t);

static uint8_t room[128 * 1024];

EXPORT("wg_guard") uint64_t guard(uint32_t length) {
	(void)length;
	uint32_t op, key_len, len, more;
	const uint8_t *o = argument(0, &op), *key = argument(1, &key_len), *value = argument(2, &len);
	const void *wild = (const void *)0xfffffff0u;
	argument(3, &more);
	int64_t status = 0;
	switch (op ? o[0] : 0) {
	case 'g': {
		uint32_t cap = len ? (uint32_t)number(2) : sizeof room;
		room[0] = '?';
		status = kv_get(key, key_len, room, cap);
		say_number(status), say(":", 1);
		if (status >= 0) say(room, status <= cap ? (uint32_t)status : 1);
		return reply();
	}
	case 's': status = kv_set(key, key_len, value, len, more ? number(3) : 0); break;
	case 'd': status = kv_delete(key, key_len); break;
	case 'f':
		for (uint32_t i = 0; i < sizeof room; i++) room[i] = 'f';
		status = kv_set(key, key_len, room, (uint32_t)number(2), 0);
		break;
	case 'l': // a key as long as said, which begins with the first argument
		for (uint32_t i = 0; i < sizeof room; i++) room[i] = i < key_len ? key[i] : 'k';
		status = kv_set(room, (uint32_t)number(2), "v", 1, 0);
		break;
	case '1': status = kv_get(wild, 32, room, sizeof room); break;
	case '2': status = kv_get(key, key_len, (void *)wild, 32); break;
	case '3': status = kv_set(wild, 32, room, 1, 0); break;
	case '4': status = kv_set(key, key_len, wild, 32, 0); break;
	case '5': status = kv_delete(wild, 32); break;
	case '6': status = kv_get(key, 0xffffffffu, room, sizeof room); break;
	case '7': status = kv_set(key, key_len, room, 1, -1); break;
	case 'u': // the whole space of 16 MiB, in values of 64 KiB: the status that ends it
		for (int i = 0; i < 300 && status == 0; i++) {
			room[0] = key[0], room[1] = key[1], room[2] = (uint8_t)('0' + i / 100), room[3] = (uint8_t)('0' + i / 10 % 10);
			room[4] = (uint8_t)('0' + i % 10);
			status = kv_set(room, 5, room + 8, 65536, 0);
		}
		break;
	default: return 0;
	}
	say_number(status), say(":", 1);
	return reply();
}
