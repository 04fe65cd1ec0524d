// wasi calls the shims that language runtimes need and shows what they say: the answer's
// body is lines of "NAME NUMBER".
#include "wire.h"

#define WASI(name) IMPORT("wasi_snapshot_preview1", #name)
WASI(clock_time_get) int clock_time_get(u32 id, i64 precision, u64 *time);
WASI(random_get) int random_get(u8 *p, u32 n);
WASI(fd_write) int fd_write(u32 fd, const void *iovs, u32 count, u32 *written);
WASI(environ_sizes_get) int environ_sizes_get(u32 *count, u32 *size);
WASI(args_sizes_get) int args_sizes_get(u32 *count, u32 *size);
WASI(fd_prestat_get) int fd_prestat_get(u32 fd, void *out);
WASI(path_open) int path_open(u32 fd, u32 flags, const u8 *p, u32 n, u32 o, i64 rights, i64 inheriting, u32 fdflags, u32 *out);
WASI(fd_read) int fd_read(u32 fd, const void *iovs, u32 count, u32 *got);
WASI(sched_yield) int sched_yield(void);
WASI(proc_exit) _Noreturn void proc_exit(u32 code);

static u8 text[4096];
static u32 used;

static void line(const char *name, u64 v) {
	u8 digits[24];
	u32 at = sizeof digits;
	while (*name) text[used++] = *name++;
	text[used++] = ' ';
	do digits[--at] = '0' + v % 10;
	while (v /= 10);
	while (at < sizeof digits) text[used++] = digits[at++];
	text[used++] = '\n';
}

static u64 number(u32 id) {
	u32 n;
	const u8 *p = field(id, &n);
	return p ? get32(p) | (u64)get32(p + 4) << 32 : 0;
}

static u64 bits(const u8 *p) { return get32(p) | (u64)get32(p + 4) << 32; }

EXPORT(wg_guard) u64 guard(u32 record) {
	u32 n, count = 9, size = 9, written = 0, fd = 0;
	u64 time = 0, again = 0;
	u8 random[16] = {0}, more[16] = {0};
	const u8 hello[] = "hello\n";
	struct { const u8 *p; u32 n; } iov = {hello, 6};
	(void)record;
	used = 0;
	if (header("x-exit", &n)) proc_exit(n);
	line("clock", clock_time_get(0, 0, &time));
	line("time", time);
	line("time_ms", number(2));
	clock_time_get(0, 0, &again);
	line("stands", again == time);
	line("random", random_get(random, sizeof random));
	random_get(more, sizeof more);
	line("differs", bits(random) != bits(more));
	line("first", bits(random));
	line("write", fd_write(1, &iov, 1, &written));
	line("written", written);
	line("write3", fd_write(3, &iov, 1, &written) != 0);
	line("environ", environ_sizes_get(&count, &size));
	line("variables", count);
	line("args", args_sizes_get(&count, &size));
	line("arguments", count);
	line("prestat", fd_prestat_get(3, more) != 0);
	line("open", path_open(3, 0, hello, 5, 0, -1, -1, 0, &fd) != 0);
	line("read", fd_read(0, &iov, 1, &written) != 0);
	line("yield", sched_yield());
	struct out o = begin(2, 2);
	add64(&o, 1, 3);
	copy(add(&o, 11, 1, used), text, used);
	return finish(&o);
}
