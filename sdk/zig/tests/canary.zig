//! Canary is a guest for tests: it keeps what a request says, tells the next one, and shows
//! its memory. With isolation fresh it can tell and show nothing.

const wasmgate = @import("wasmgate");

comptime {
    wasmgate.plugin(.{ .guard = tell }, .{});
}

var kept: [64]u8 = undefined;
var kept_len: usize = 0;
var first: u8 = 0;

fn tell(req: wasmgate.Request, out: *wasmgate.Writer) void {
    out.allow();
    out.because(kept[0..kept_len]);
    if (first != 0) out.pairs(.headers, &.{.{ .name = "x-first", .value = &.{first} }});
    const canary = req.header("x-canary").?;
    @memcpy(kept[0..canary.len], canary);
    kept_len = canary.len;
    first = canary[0];
}

/// Shows a page of the memory; the length of the record is its number.
export fn wg_throttle(len: u32) u64 {
    return @as(u64, len) << 48 | 1 << 16;
}
