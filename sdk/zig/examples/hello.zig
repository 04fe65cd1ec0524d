//! Hello is an authorizer: it lets in who sends x-token: let-me-in.

const std = @import("std");
const wasmgate = @import("wasmgate");

comptime {
    wasmgate.plugin(.{ .authorize = check }, .{});
}

fn check(req: wasmgate.Request, out: *wasmgate.Writer) void {
    const token = req.header("x-token") orelse "";
    if (!std.mem.eql(u8, token, "let-me-in")) return out.deny();
    out.allow();
    out.bytes(.principal, "friend");
}
