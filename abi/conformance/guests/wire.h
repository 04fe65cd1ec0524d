// What the guests share: reading a request record, writing a result record. Nothing here is
// an SDK's: the guests stand for themselves, so that they say the same for ever.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;
typedef long long i64;

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

enum { SCRATCH = 512 << 10, ROOM = 512 << 10 };
static u8 scratch[SCRATCH];
static u8 result[ROOM];

EXPORT(wg_abi_v1) void marker(void) {}
EXPORT(wg_scratch) u64 scratch_area(void) { return (u64)(u32)scratch << 32 | SCRATCH; }

static u32 get32(const u8 *p) { return p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24; }
static u16 get16(const u8 *p) { return p[0] | p[1] << 8; }
static void put16(u8 *p, u32 v) { p[0] = v, p[1] = v >> 8; }
static void put32(u8 *p, u32 v) { put16(p, v), put16(p + 2, v >> 16); }

static void copy(u8 *to, const u8 *from, u32 n) {
	for (u32 i = 0; i < n; i++) to[i] = from[i];
}

// field finds a field of the request; 0 is none.
static const u8 *field(u32 id, u32 *length) {
	u32 count = get16(scratch + 6);
	for (u32 i = 0; i < count; i++) {
		const u8 *entry = scratch + 16 + 12 * i;
		if (get16(entry) == id) {
			*length = get32(entry + 8);
			return scratch + get32(entry + 4);
		}
	}
	*length = 0;
	return 0;
}

enum { HEADERS = 13, CONFIG = 41 };

// header finds the first value of a request header; 0 is none.
static const u8 *header(const char *name, u32 *length) {
	u32 n, want = 0;
	const u8 *p = field(HEADERS, &n);
	while (name[want]) want++;
	if (!p) return 0;
	u32 count = get32(p);
	p += 4;
	for (; count; count--) {
		u32 names = get32(p), values = get32(p + 4);
		u32 same = names == want;
		for (u32 i = 0; same && i < want; i++) same = p[8 + i] == name[i];
		if (same) {
			*length = values;
			return p + 8 + names;
		}
		p += 8 + names + values;
	}
	return 0;
}

static u32 digit(u8 c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

// unhex decodes hexadecimal digits.
static u32 unhex(u8 *to, const u8 *text, u32 length) {
	for (u32 i = 0; i < length / 2; i++) to[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
	return length / 2;
}

// A result in the making: fields must come in ascending order.
struct out {
	u32 hook, fields, entry, end;
};

static struct out begin(u32 hook, u32 fields) {
	struct out o = {hook, fields, 16, 16 + 12 * fields};
	put32(result, 0x31524757);
	put16(result + 4, 1), put16(result + 6, fields), put16(result + 12, hook), put16(result + 14, 0);
	return o;
}

static u8 *add(struct out *o, u32 id, u32 type, u32 length) {
	u8 *entry = result + o->entry, *data = result + o->end;
	put16(entry, id), put16(entry + 2, type), put32(entry + 4, o->end), put32(entry + 8, length);
	o->entry += 12, o->end += length;
	return data;
}

static void add64(struct out *o, u32 id, u64 v) {
	u8 *data = add(o, id, 2, 8);
	put32(data, v), put32(data + 4, v >> 32);
}

static u64 finish(struct out *o) {
	put32(result + 8, o->end);
	return (u64)(u32)result << 32 | o->end;
}
