// lines writes lines of every level, a long one, one that is no text and many, and replies with "logged".
// With a query it writes from outside its memory, which ends it.
#include "guest.h"

IMPORT("wasmgate.log.v1", "write") void log_write(uint32_t, const void *, uint32_t);

EXPORT("wg_guard") uint64_t guard(uint32_t length) {
	(void)length;
	static uint8_t line[8192];
	uint32_t op;
	argument(0, &op);
	if (op) log_write(1, (const void *)0xfffffff0u, 32);
	for (uint32_t level = 0; level < 6; level++) log_write(level, "a line", 6);
	for (uint32_t i = 0; i < sizeof line; i++) line[i] = 0xff;
	log_write(1, line, sizeof line);
	log_write(1, line, 0);
	for (int i = 0; i < 200; i++) log_write(0, "many", 4);
	say("logged", 6);
	return reply();
}
