//! The capabilities: each function is one import, and one power for a reviewer.

const abi = @import("abi.zig");
const Request = @import("request.zig").Request;
const import = abi.import;

/// Why a capability did not do it. A status that is unknown is Internal.
pub const Error = error{ NotFound, NotGranted, BadArgument, Invalid, Unavailable, Timeout, Limit, Internal };

/// An error in words, as in the other languages.
pub fn name(err: Error) []const u8 {
    return switch (err) {
        error.NotFound => "not found",
        error.NotGranted => "not granted",
        error.BadArgument => "bad argument",
        error.Invalid => "invalid",
        error.Unavailable => "unavailable",
        error.Timeout => "timeout",
        error.Limit => "limit",
        error.Internal => "internal",
    };
}

fn done(status: i32) Error!void {
    return switch (@as(abi.Status, @fromBackingInt(@intCast(status)))) {
        .ok => {},
        .not_found => error.NotFound,
        .not_granted => error.NotGranted,
        .bad_argument => error.BadArgument,
        .invalid => error.Invalid,
        .unavailable => error.Unavailable,
        .timeout => error.Timeout,
        .limit => error.Limit,
        .internal, _ => error.Internal,
    };
}

/// What was written to out. An answer that is longer than out is Limit: nothing was written.
fn filled(answer: i64, out: []u8) Error![]u8 {
    if (answer < 0) {
        try done(@intCast(@max(answer, -1 << 31)));
        unreachable;
    }
    if (answer > out.len) return error.Limit;
    return out[0..@intCast(answer)];
}

pub const Level = enum(i32) { debug, info, warn, err };

/// Writes a line to the gateway's log.
pub fn log(level: Level, line: []const u8) void {
    import.log.write(@backingInt(level), line.ptr, line.len);
}

/// One outbound call, once: a record with the http_ fields of a result, made by
/// `Writer.init(room, 0)`. Any status of the other side is an answer, which stands in out.
pub fn httpCall(call: []const u8, out: []u8) Error!Request {
    const answer = try filled(import.http.call(call.ptr, call.len, out.ptr, out.len), out);
    return Request.parse(answer) orelse @panic("malformed answer");
}

/// Reads a stored value into out.
pub fn kvGet(key: []const u8, out: []u8) Error![]u8 {
    return filled(import.kv.get(key.ptr, key.len, out.ptr, out.len), out);
}

/// Stores a value; a ttl of 0 keeps it until the host ends.
pub fn kvSet(key: []const u8, value: []const u8, ttl_ms: i64) Error!void {
    return done(import.kv.set(key.ptr, key.len, value.ptr, value.len, ttl_ms));
}

/// Deletes a stored value, which may be absent.
pub fn kvDelete(key: []const u8) Error!void {
    return done(import.kv.delete(key.ptr, key.len));
}

/// Reads a secret into out.
pub fn secretGet(secret: []const u8, out: []u8) Error![]u8 {
    return filled(import.secret.get(secret.ptr, secret.len, out.ptr, out.len), out);
}

/// SHA-256.
pub fn sha256(data: []const u8) [32]u8 {
    var out: [32]u8 = undefined;
    done(import.crypto.sha256(data.ptr, data.len, &out)) catch @panic("sha256 failed");
    return out;
}

/// HMAC with a secret that the guest does not see.
pub fn hmacSha256(secret: []const u8, data: []const u8) Error![32]u8 {
    var out: [32]u8 = undefined;
    try done(import.crypto.hmac_sha256(secret.ptr, secret.len, data.ptr, data.len, &out));
    return out;
}

/// Verifies the signature of a compact JWS against the key set at a URL.
pub fn jwksVerify(url: []const u8, token: []const u8) Error!void {
    return done(import.jwks.verify(url.ptr, url.len, token.ptr, token.len));
}
