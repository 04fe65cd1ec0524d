//! Write Wasmgate plugins: see README.md. A plugin names its hooks in `plugin`; only those
//! are exported, and only the capabilities that it calls are imported.

pub const abi = @import("abi.zig");
pub const cap = @import("cap.zig");
pub const Request = @import("request.zig").Request;
pub const Pairs = @import("request.zig").Pairs;
pub const Pair = @import("request.zig").Pair;
pub const Writer = @import("writer.zig").Writer;
pub const Edit = @import("writer.zig").Edit;
pub const Bucket = @import("writer.zig").Bucket;
pub const Part = @import("writer.zig").Part;
pub const text = @import("writer.zig").text;
pub const select = @import("writer.zig").select;

/// What a hook is.
pub const Handler = fn (req: Request, out: *Writer) void;

/// A plugin's hooks; those that are there are exported.
pub const Hooks = struct {
    configure: ?Handler = null,
    guard: ?Handler = null,
    authorize: ?Handler = null,
    identify: ?Handler = null,
    throttle: ?Handler = null,
    map_request: ?Handler = null,
    cache_key: ?Handler = null,
    integrate: ?Handler = null,
    map_response: ?Handler = null,
    observe: ?Handler = null,
};

/// How long records may be.
pub const Room = struct {
    /// The longest request record; the host refuses longer ones with 413. A plugin that asks
    /// for bodies wants their max and 256 KiB more.
    request: usize = 320 << 10,
    /// The longest result; a longer one traps.
    result: usize = 64 << 10,
};

/// Exports a plugin: `comptime { wasmgate.plugin(.{ .authorize = check }, .{}); }`.
pub fn plugin(comptime hooks: Hooks, comptime room: Room) void {
    const guest = struct {
        var request_area: [room.request]u8 = undefined;
        var result_area: [room.result]u8 = undefined;

        fn marker() callconv(.c) void {}

        fn scratch() callconv(.c) u64 {
            return packed_slice(&request_area);
        }

        /// Runs one hook. A record that is malformed traps: the host has written it.
        fn call(len: u32, hook: abi.Hook, comptime f: Handler) u64 {
            const req = Request.parse(request_area[0..len]) orelse @panic("malformed request");
            var out = Writer.init(&result_area, @backingInt(hook));
            f(req, &out);
            return packed_slice(out.finish());
        }

        fn packed_slice(s: []const u8) u64 {
            return @as(u64, @intFromPtr(s.ptr)) << 32 | s.len;
        }
    };
    @export(&guest.marker, .{ .name = "wg_abi_v1" });
    @export(&guest.scratch, .{ .name = "wg_scratch" });
    inline for (comptime @import("std").meta.fieldNames(Hooks)) |name| {
        if (@field(hooks, name)) |f| {
            const exported = struct {
                fn run(len: u32) callconv(.c) u64 {
                    return guest.call(len, @field(abi.Hook, name), f);
                }
            };
            @export(&exported.run, .{ .name = "wg_" ++ name });
        }
    }
}
