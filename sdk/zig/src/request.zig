const std = @import("std");
const abi = @import("abi.zig");

/// A name and its value.
pub const Pair = struct { name: []const u8, value: []const u8 };

/// A request, or a capability's answer. It and all that it gives hold until the hook returns.
pub const Request = struct {
    record: []const u8,

    /// Checks header and table; null is malformed.
    pub fn parse(record: []const u8) ?Request {
        if (record.len < abi.header_bytes or load(u32, record, 0) != abi.magic or load(u16, record, 4) != abi.version) return null;
        const r = Request{ .record = record };
        if (load(u32, record, 8) != record.len or load(u16, record, 14) != 0 or r.count() > abi.max_fields) return null;
        if (record.len - abi.header_bytes < r.count() * abi.entry_bytes) return null;
        var last: i32 = -1;
        for (0..r.count()) |i| {
            const e = r.entry(i);
            if (e.id <= last or e.at > record.len or e.len > record.len - e.at) return null;
            last = e.id;
        }
        return r;
    }

    /// Number of fields.
    pub fn count(r: Request) usize {
        return load(u16, r.record, 6);
    }

    const Entry = struct { id: u16, type: abi.Type, at: usize, len: usize };

    fn entry(r: Request, i: usize) Entry {
        const at = abi.header_bytes + i * abi.entry_bytes;
        return .{
            .id = load(u16, r.record, at),
            .type = @fromBackingInt(@intCast(load(u16, r.record, at + 2))),
            .at = load(u32, r.record, at + 4),
            .len = load(u32, r.record, at + 8),
        };
    }

    /// A field as it stands in the record.
    pub const Raw = struct { id: u16, type: abi.Type, data: []const u8 };

    /// The field at an index of the table.
    pub fn raw(r: Request, i: usize) Raw {
        const e = r.entry(i);
        return .{ .id = e.id, .type = e.type, .data = r.record[e.at..][0..e.len] };
    }

    fn find(r: Request, id: abi.Field, typ: abi.Type) ?[]const u8 {
        for (0..r.count()) |i| {
            const f = r.raw(i);
            if (f.id != @backingInt(id)) continue;
            if (f.type != typ) @panic("field of another type");
            return f.data;
        }
        return null;
    }

    /// A field of bytes.
    pub fn bytes(r: Request, id: abi.Field) ?[]const u8 {
        return r.find(id, .bytes);
    }

    /// A number.
    pub fn number(r: Request, id: abi.Field) ?u64 {
        const data = r.find(id, .u64) orelse return null;
        if (data.len != 8) @panic("number of another length");
        return load(u64, data, 0);
    }

    /// A list of pairs; an absent one is empty.
    pub fn pairs(r: Request, id: abi.Field) Pairs {
        const data = r.find(id, .pairs) orelse return .{ .rest = "", .left = 0 };
        return .{ .rest = data[4..], .left = load(u32, data, 0) };
    }

    /// The first value of a name in a list of pairs.
    pub fn first(r: Request, id: abi.Field, name: []const u8) ?[]const u8 {
        var all = r.pairs(id);
        while (all.next()) |p| if (std.mem.eql(u8, p.name, name)) return p.value;
        return null;
    }

    /// The value of a request header that is there once. One that is there twice is as absent:
    /// who reads one of two may read another one than the upstream.
    pub fn header(r: Request, name: []const u8) ?[]const u8 {
        var all = r.pairs(.headers);
        var found: ?[]const u8 = null;
        while (all.next()) |p| {
            if (!std.mem.eql(u8, p.name, name)) continue;
            if (found != null) return null;
            found = p.value;
        }
        return found;
    }
};

/// Names and values, in order: `while (pairs.next()) |p|`.
pub const Pairs = struct {
    rest: []const u8,
    left: u32,

    pub fn next(p: *Pairs) ?Pair {
        if (p.left == 0) {
            if (p.rest.len != 0) @panic("bytes after the last pair");
            return null;
        }
        p.left -= 1;
        const lengths = p.take(8);
        return .{ .name = p.take(load(u32, lengths, 0)), .value = p.take(load(u32, lengths, 4)) };
    }

    fn take(p: *Pairs, n: usize) []const u8 {
        defer p.rest = p.rest[n..];
        return p.rest[0..n];
    }
};

fn load(comptime T: type, b: []const u8, at: usize) T {
    return std.mem.readInt(T, b[at..][0..@sizeOf(T)], .little);
}
