// shims calls the function of WASI preview 1 that the query names and replies with the errno, and with what the function
// wrote: the shims are inert, the clock is the request's time, and randomness follows from its seed.
#include "guest.h"

#define WASI(name) IMPORT("wasi_snapshot_preview1", name)
WASI("args_sizes_get") int32_t args_sizes_get(uint32_t *, uint32_t *);
WASI("args_get") int32_t args_get(void *, void *);
WASI("environ_sizes_get") int32_t environ_sizes_get(uint32_t *, uint32_t *);
WASI("environ_get") int32_t environ_get(void *, void *);
WASI("clock_time_get") int32_t clock_time_get(uint32_t, uint64_t, uint64_t *);
WASI("clock_res_get") int32_t clock_res_get(uint32_t, uint64_t *);
WASI("random_get") int32_t random_get(void *, uint32_t);
WASI("sched_yield") int32_t sched_yield(void);
WASI("poll_oneoff") int32_t poll_oneoff(const void *, void *, uint32_t, uint32_t *);
WASI("fd_write") int32_t fd_write(int32_t, const void *, uint32_t, uint32_t *);
WASI("fd_read") int32_t fd_read(int32_t, const void *, uint32_t, uint32_t *);
WASI("fd_close") int32_t fd_close(int32_t);
WASI("fd_seek") int32_t fd_seek(int32_t, int64_t, uint32_t, uint64_t *);
WASI("fd_fdstat_get") int32_t fd_fdstat_get(int32_t, void *);
WASI("fd_prestat_get") int32_t fd_prestat_get(int32_t, void *);
WASI("path_open") int32_t path_open(int32_t, uint32_t, const void *, uint32_t, uint32_t, uint64_t, uint64_t, uint32_t, int32_t *);
WASI("path_unlink_file") int32_t path_unlink_file(int32_t, const void *, uint32_t);
WASI("sock_accept") int32_t sock_accept(int32_t, uint32_t, int32_t *);
WASI("sock_send") int32_t sock_send(int32_t, const void *, uint32_t, uint32_t, uint32_t *);

enum { TIME_MS = 2 };

static uint32_t errno_is(int32_t code) {
	say_number(code);
	return 0;
}

static int is(const uint8_t *p, uint32_t len, const char *name) {
	uint32_t i = 0;
	while (i < len && name[i] && p[i] == (uint8_t)name[i]) i++;
	return i == len && !name[i];
}

EXPORT("wg_guard") uint64_t guard(uint32_t length) {
	(void)length;
	uint32_t op, len, a = 9, b = 9;
	static uint8_t room[4096];
	static uint64_t t, u;
	int32_t fd = -1;
	const uint8_t *o = argument(0, &op);
	const uint8_t *ms = field(TIME_MS, &len);
	if (!op) return 0;
	struct { const void *p; uint32_t n; } vector = {"written\n", 8};
	void *wild = (void *)0xfffffff0u;
	if (is(o, op, "args")) errno_is(args_sizes_get(&a, &b)), say(",", 1), say_number(a), say(",", 1), say_number(b);
	else if (is(o, op, "args-get")) errno_is(args_get(room, room));
	else if (is(o, op, "environ")) errno_is(environ_sizes_get(&a, &b)), say(",", 1), say_number(a), say(",", 1), say_number(b);
	else if (is(o, op, "environ-get")) errno_is(environ_get(room, room));
	else if (is(o, op, "clock")) { // the request's time, and it stands
		errno_is(clock_time_get(0, 1, &t));
		for (volatile int i = 0; i < 100000; i++) {}
		clock_time_get(0, 1, &u);
		uint64_t want = (get32(ms) | (uint64_t)get32(ms + 4) << 32) * 1000000;
		say(t == want && t == u ? ",time_ms" : ",other", t == want && t == u ? 8 : 6);
	} else if (is(o, op, "monotonic")) errno_is(clock_time_get(1, 1, &t)), say(t > 0 ? ",runs" : ",zero", 5);
	else if (is(o, op, "clock-unknown")) errno_is(clock_time_get(99, 1, &t));
	else if (is(o, op, "clock-wild")) errno_is(clock_time_get(0, 1, wild));
	else if (is(o, op, "resolution")) errno_is(clock_res_get(0, &t));
	else if (is(o, op, "random")) { // 64 bytes, not all alike
		errno_is(random_get(room, 64));
		for (int i = 1; i < 64; i++) a += room[i] != room[0];
		say(a > 40 ? ",varied" : ",alike", a > 40 ? 7 : 6);
	} else if (is(o, op, "random-wild")) errno_is(random_get(wild, 64));
	else if (is(o, op, "yield")) errno_is(sched_yield());
	else if (is(o, op, "poll-none")) errno_is(poll_oneoff(room, room, 0, &a));
	else if (is(o, op, "stdout")) errno_is(fd_write(1, &vector, 1, &a)), say(",", 1), say_number(a);
	else if (is(o, op, "stderr")) errno_is(fd_write(2, &vector, 1, &a)), say(",", 1), say_number(a);
	else if (is(o, op, "write-file")) errno_is(fd_write(3, &vector, 1, &a));
	else if (is(o, op, "write-wild")) errno_is(fd_write(1, wild, 4, &a));
	else if (is(o, op, "stdin")) errno_is(fd_read(0, &vector, 1, &a)), say(",", 1), say_number(a);
	else if (is(o, op, "read-file")) errno_is(fd_read(3, &vector, 1, &a));
	else if (is(o, op, "close-file")) errno_is(fd_close(3));
	else if (is(o, op, "seek")) errno_is(fd_seek(1, 0, 0, &t));
	else if (is(o, op, "fdstat")) errno_is(fd_fdstat_get(1, room)), say(",", 1), say_number(room[0]);
	else if (is(o, op, "prestat")) errno_is(fd_prestat_get(3, room));
	else if (is(o, op, "open")) errno_is(path_open(3, 0, "etc/passwd", 10, 0, 0, 0, 0, &fd)), say(fd == -1 ? ",none" : ",file", 5);
	else if (is(o, op, "unlink")) errno_is(path_unlink_file(3, "x", 1));
	else if (is(o, op, "accept")) errno_is(sock_accept(3, 0, &fd));
	else if (is(o, op, "send")) errno_is(sock_send(3, &vector, 1, 0, &a));
	return reply();
}
