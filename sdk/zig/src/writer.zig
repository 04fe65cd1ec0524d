const std = @import("std");
const abi = @import("abi.zig");
const Pair = @import("request.zig").Pair;

/// A piece of a value that the host joins for each request.
pub const Part = union(enum) {
    /// A literal.
    text: []const u8,
    /// A selector, such as header.x-api-key.
    select: []const u8,
};

/// A literal.
pub fn text(literal: []const u8) Part {
    return .{ .text = literal };
}

/// A selector, such as header.x-api-key.
pub fn select(selector: []const u8) Part {
    return .{ .select = selector };
}

/// One change of a request or response: a name and a value where the operation has them.
pub const Edit = struct { op: abi.Op, name: []const u8 = "", value: []const Part = &.{} };

/// A token bucket; the host keeps it. An empty key is one bucket for all.
pub const Bucket = struct {
    name: []const u8,
    key: []const Part = &.{},
    /// Tokens a second.
    rate: f64,
    burst: u64,
    cost: u64 = 1,
};

/// Where data begin: the table before them has room for every field.
const data_start = abi.header_bytes + abi.max_fields * abi.entry_bytes;

/// Writes a result: each field once, in any order. What it is given is copied. One that is
/// full traps.
pub const Writer = struct {
    buf: []u8,
    end: usize,
    hook: u16,
    fields: [abi.max_fields]?Written,

    const Written = struct { type: abi.Type, at: usize, len: usize };

    /// A record in buf; hook is 0 in the records of a capability.
    pub fn init(buf: []u8, hook: u16) Writer {
        return .{ .buf = buf, .end = data_start, .hook = hook, .fields = @splat(null) };
    }

    fn put(w: *Writer, b: []const u8) void {
        @memcpy(w.buf[w.end..][0..b.len], b);
        w.end += b.len;
    }

    fn putInt(w: *Writer, comptime T: type, v: T) void {
        store(T, w.buf, w.end, v);
        w.end += @sizeOf(T);
    }

    fn putLength(w: *Writer, n: usize) void {
        w.putInt(u32, @intCast(n));
    }

    fn begin(w: *Writer, id: u16, typ: abi.Type) void {
        if (w.fields[id] != null) @panic("field written twice");
        w.fields[id] = .{ .type = typ, .at = w.end, .len = 0 };
    }

    fn done(w: *Writer, id: u16) void {
        w.fields[id].?.len = w.end - w.fields[id].?.at;
    }

    /// Any field, as bytes.
    pub fn raw(w: *Writer, id: u16, typ: abi.Type, data: []const u8) void {
        w.begin(id, typ);
        w.put(data);
        w.done(id);
    }

    /// A field of bytes.
    pub fn bytes(w: *Writer, id: abi.Result, v: []const u8) void {
        w.raw(@backingInt(id), .bytes, v);
    }

    /// A number.
    pub fn number(w: *Writer, id: abi.Result, v: u64) void {
        w.begin(@backingInt(id), .u64);
        w.putInt(u64, v);
        w.done(@backingInt(id));
    }

    /// A list of pairs.
    pub fn pairs(w: *Writer, id: abi.Result, list: []const Pair) void {
        w.begin(@backingInt(id), .pairs);
        w.putLength(list.len);
        for (list) |p| {
            w.putLength(p.name.len);
            w.putLength(p.value.len);
            w.put(p.name);
            w.put(p.value);
        }
        w.done(@backingInt(id));
    }

    /// A list of names.
    pub fn names(w: *Writer, id: abi.Result, list: []const []const u8) void {
        w.begin(@backingInt(id), .names);
        w.putLength(list.len);
        for (list) |name| {
            w.putLength(name.len);
            w.put(name);
        }
        w.done(@backingInt(id));
    }

    fn template(w: *Writer, parts: []const Part) void {
        for (parts) |part| {
            const s, const mark: u32 = switch (part) {
                .text => |s| .{ s, 0 },
                .select => |s| .{ s, 1 << 31 },
            };
            w.putInt(u32, @as(u32, @intCast(s.len)) | mark);
            w.put(s);
        }
    }

    fn named(w: *Writer, name: []const u8, parts: []const Part) void {
        w.putLength(name.len);
        const length = w.end;
        w.putLength(0);
        w.put(name);
        const from = w.end;
        w.template(parts);
        store(u32, w.buf, length, @intCast(w.end - from));
    }

    /// A value that the host joins for each request.
    pub fn value(w: *Writer, id: abi.Result, parts: []const Part) void {
        w.begin(@backingInt(id), .value);
        w.template(parts);
        w.done(@backingInt(id));
    }

    /// The changes, applied in order.
    pub fn edits(w: *Writer, list: []const Edit) void {
        w.begin(@backingInt(abi.Result.edits), .edits);
        w.putLength(list.len);
        for (list) |e| {
            w.putInt(u16, @backingInt(e.op));
            w.putInt(u16, 0);
            w.named(e.name, e.value);
        }
        w.done(@backingInt(abi.Result.edits));
    }

    /// The buckets to draw from.
    pub fn buckets(w: *Writer, list: []const Bucket) void {
        w.begin(@backingInt(abi.Result.buckets), .buckets);
        w.putLength(list.len);
        for (list) |b| {
            w.putInt(u64, @bitCast(b.rate));
            w.putInt(u64, b.burst);
            w.putInt(u64, b.cost);
            w.named(b.name, b.key);
        }
        w.done(@backingInt(abi.Result.buckets));
    }

    pub fn decide(w: *Writer, decision: abi.Decision) void {
        w.number(.decision, @backingInt(decision));
    }

    pub fn allow(w: *Writer) void {
        w.decide(.allow);
    }

    pub fn deny(w: *Writer) void {
        w.decide(.deny);
    }

    pub fn reply(w: *Writer, status: u64) void {
        w.decide(.reply);
        w.number(.status, status);
    }

    /// Why, for the operator's log.
    pub fn because(w: *Writer, reason: []const u8) void {
        w.bytes(.reason, reason);
    }

    /// Holds for every request of the route: only for what depends on the request by selectors alone.
    pub fn forRoute(w: *Writer) void {
        w.number(.scope, @backingInt(abi.Scope.route));
    }

    /// Holds for the identity that configure named.
    pub fn forIdentity(w: *Writer, ttl_ms: u64) void {
        w.number(.scope, @backingInt(abi.Scope.identity));
        w.number(.ttl_ms, ttl_ms);
    }

    /// The record; empty when no field was written.
    pub fn finish(w: *Writer) []const u8 {
        var count: u16 = 0;
        for (w.fields) |f| count += @intFromBool(f != null);
        if (count == 0) return w.buf[0..0];
        // The table ends where the data begin, so that nothing moves.
        const start = data_start - abi.header_bytes - @as(usize, count) * abi.entry_bytes;
        const record = w.buf[start..w.end];
        store(u32, record, 0, abi.magic);
        store(u16, record, 4, abi.version);
        store(u16, record, 6, count);
        store(u32, record, 8, @intCast(record.len));
        store(u16, record, 12, w.hook);
        store(u16, record, 14, 0);
        var at: usize = abi.header_bytes;
        for (w.fields, 0..) |written, id| {
            const f = written orelse continue;
            store(u16, record, at, @intCast(id));
            store(u16, record, at + 2, @backingInt(f.type));
            store(u32, record, at + 4, @intCast(f.at - start));
            store(u32, record, at + 8, @intCast(f.len));
            at += abi.entry_bytes;
        }
        return record;
    }
};

fn store(comptime T: type, b: []u8, at: usize, v: T) void {
    std.mem.writeInt(T, b[at..][0..@sizeOf(T)], v, .little);
}
