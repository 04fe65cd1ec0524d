// outbound calls the URL that the query's third part is, by the method of the second, with the timeout of the
// fourth, and replies with the status or "ok", a colon, and the status and the body of the answer. The first part says
// what is odd about the call.
#include "guest.h"

IMPORT("wasmgate.http.v1", "call") int64_t http_call(const void *, uint32_t, void *, uint32_t);

static uint8_t record[8192];
static uint8_t room[96 * 1024];

enum { METHOD = 27, URL = 28, HEADERS = 29, BODY = 30, TIMEOUT = 31 };

static uint32_t add(uint32_t i, uint32_t at, uint16_t id, uint16_t type, const void *p, uint32_t len) {
	uint8_t *e = record + 16 + 12 * i;
	put16(e, id), put16(e + 2, type), put32(e + 4, at), put32(e + 8, len);
	for (uint32_t k = 0; k < len; k++) record[at + k] = ((const uint8_t *)p)[k];
	return at + len;
}

EXPORT("wg_guard") uint64_t guard(uint32_t length) {
	(void)length;
	static const uint8_t header[] = "\1\0\0\0\6\0\0\0\4\0\0\0x-callyes!";
	static const uint8_t split[] = "\1\0\0\0\6\0\0\0\6\0\0\0x-calla\r\nb:c";
	uint32_t op, method_len, url_len, more;
	const uint8_t *o = argument(0, &op), *method = argument(1, &method_len), *url = argument(2, &url_len);
	if (!op) return 0;
	argument(3, &more);
	uint8_t timeout[8] = {0};
	uint32_t n = more ? 5 : 4, at = 16 + 12 * n, cap = sizeof room;
	put32(timeout, more ? (uint32_t)number(3) : 0);
	put32(record, 827475799), put16(record + 4, 1), put16(record + 6, n), put16(record + 12, 0), put16(record + 14, 0);
	at = add(0, at, METHOD, 1, method, method_len);
	at = add(1, at, URL, 1, url, url_len);
	at = o[0] == 's' ? add(2, at, HEADERS, 3, split, sizeof split - 1) : add(2, at, HEADERS, 3, header, sizeof header - 1);
	at = add(3, at, BODY, 1, "sent", o[0] == 'b' ? 4 : 0);
	if (more) at = add(4, at, TIMEOUT, 2, timeout, 8);
	put32(record + 8, at);
	int64_t status;
	switch (o[0]) {
	case '1': status = http_call((const void *)0xfffffff0u, 32, room, cap); break;
	case '2': status = http_call(record, at, (void *)0xfffffff0u, 32); break;
	case '3': record[0] = 0; status = http_call(record, at, room, cap); break;
	case '4': cap = 8; status = http_call(record, at, room, cap); break;
	case '5': put16(record + 12, 2); status = http_call(record, at, room, cap); break;
	default: status = http_call(record, at, room, cap);
	}
	if (status < 0 || status > cap) {
		if (status < 0) say_number(status);
		else say("more", 4);
		return reply();
	}
	// The answer is a request record: 43 http_status, 44 http_headers, 45 http_body.
	for (uint32_t i = 0; i < get16(room + 6); i++) {
		const uint8_t *e = room + 16 + 12 * i;
		if (get16(e) == 43) say_number(get32(room + get32(e + 4)));
		if (get16(e) == 45) say(":", 1), say(room + get32(e + 4), get32(e + 8));
	}
	return reply();
}
