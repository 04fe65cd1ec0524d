// Reads records from stdin, a u32 length before each, and writes each again to stdout in the
// same form: length 0 for one that is malformed. With an argument it reads known fields of a
// request first, as plugins do, so that a field that is not as the contract has it traps.
// host/sdk_vectors_test.go feeds it abi/v1/vectors.
#include <stdio.h>
#include <string.h>

#include "wasmgate.h"

static uint8_t in[1 << 20], out[1 << 20];
static wg_result w;
static wg_pair pairs[WG_MAX_PAIRS];

static void put(uint16_t id, uint16_t type, wg_record r, wg_bytes data) {
	uint64_t number;
	uint32_t count = 0;
	switch (type) {
	case WG_TYPE_U64:
		wg_number(r, id, &number);
		wg_set_number(&w, id, number);
		return;
	case WG_TYPE_PAIRS:
		for (wg_pairs_iter it = wg_pairs(r, id); wg_next(&it, &pairs[count]);) count++;
		wg_set_pairs(&w, id, pairs, count);
		return;
	}
	wg_begin(&w, id, type);
	wg_put(&w, data);
	wg_end(&w, id);
}

static void read_known(wg_record r) {
	uint64_t time;
	wg_get(r, WG_FIELD_METHOD);
	wg_number(r, WG_FIELD_TIME_MS, &time);
	wg_header(r, WG(""));
}

int main(int argc, char **argv) {
	(void)argv;
	uint8_t head[4];
	while (fread(head, 1, 4, stdin) == 4) {
		wg_record r = {in, wg_load32(head)};
		if (r.len > sizeof in || fread(in, 1, r.len, stdin) != r.len) return 1;
		wg_bytes b = {NULL, 0};
		if (wg_valid(r)) {
			if (argc > 1) read_known(r);
			wg_start(&w, out, sizeof out, wg_load16(in + 12));
			for (uint32_t i = 0; i < wg_load16(in + 6); i++) {
				const uint8_t *e = in + WG_HEADER_BYTES + i * WG_ENTRY_BYTES;
				if (wg_load16(e) < WG_MAX_FIELDS) // others can be skipped, but not written
					put(wg_load16(e), wg_load16(e + 2), r, (wg_bytes){in + wg_load32(e + 4), wg_load32(e + 8)});
			}
			b = wg_finish(&w);
		}
		wg_store32(head, b.len);
		fwrite(head, 1, 4, stdout);
		fwrite(b.ptr, 1, b.len, stdout);
	}
	return 0;
}
