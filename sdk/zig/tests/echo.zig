//! Echo is a guest whose hooks answer with their request, field by field: host's
//! TestSDKVectors runs abi/v1/vectors through it. Its guard reads known fields first, as
//! plugins do, so that a field that is not as the contract has it traps.

const wasmgate = @import("wasmgate");
const Request = wasmgate.Request;
const Writer = wasmgate.Writer;

comptime {
    wasmgate.plugin(.{
        .guard = guard,
        .authorize = again,
        .identify = again,
        .throttle = again,
        .map_request = again,
        .cache_key = again,
        .integrate = again,
        .map_response = again,
        .observe = again,
    }, .{});
}

var room: [wasmgate.abi.max_pairs]wasmgate.Pair = undefined;

fn list(req: Request, field: wasmgate.abi.Field) []const wasmgate.Pair {
    var n: usize = 0;
    var pairs = req.pairs(field);
    while (pairs.next()) |p| : (n += 1) room[n] = p;
    return room[0..n];
}

fn guard(req: Request, out: *Writer) void {
    _ = req.bytes(.method);
    _ = req.number(.time_ms);
    _ = list(req, .headers);
    again(req, out);
}

fn again(req: Request, out: *Writer) void {
    for (0..req.count()) |i| {
        const f = req.raw(i);
        if (f.id >= wasmgate.abi.max_fields) continue; // can be skipped, but not written
        switch (f.type) {
            .bytes => out.bytes(@enumFromInt(f.id), req.bytes(@enumFromInt(f.id)).?),
            .u64 => out.number(@enumFromInt(f.id), req.number(@enumFromInt(f.id)).?),
            .pairs => out.pairs(@enumFromInt(f.id), list(req, @enumFromInt(f.id))),
            else => out.raw(f.id, f.type, f.data),
        }
    }
}
