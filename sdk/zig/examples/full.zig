//! Full takes part in every hook and uses every power. Its config is a string: the name of the
//! header that carries API keys, a blank, and the URL of the service that has the keys of
//! tokens, knows which are active, and is the upstream.

const std = @import("std");
const wasmgate = @import("wasmgate");
const cap = wasmgate.cap;
const text = wasmgate.text;
const select = wasmgate.select;
const Request = wasmgate.Request;
const Writer = wasmgate.Writer;

comptime {
    wasmgate.plugin(.{
        .configure = setUp,
        .guard = keepOut,
        .authorize = checkToken,
        .identify = identify,
        .throttle = throttle,
        .map_request = mapRequest,
        .cache_key = cacheKey,
        .integrate = callService,
        .map_response = mapResponse,
        .observe = observe,
    }, .{});
}

/// Where the store keeps the status of an upstream that is out of order.
const last_failure = "full/last-failure";

// What configure set: the selector of API keys, and the service.
var config_area: [2048]u8 = undefined;
var key_selector: []const u8 = "";
var service: []const u8 = "";

fn print(room: []u8, comptime fmt: []const u8, args: anytype) []u8 {
    return std.fmt.bufPrint(room, fmt, args) catch @panic("text is too long");
}

fn setUp(req: Request, out: *Writer) void {
    const config = req.bytes(.config) orelse "";
    const blank = std.mem.findScalar(u8, config, ' ') orelse 0;
    const url = config[@min(blank + 1, config.len)..];
    const upper = for (config[0..blank]) |c| {
        if (std.ascii.isUpper(c)) break true;
    } else false;
    if (blank == 0 or upper or !std.mem.startsWith(u8, url, "http"))
        return out.bytes(.@"error", "want the name of a header, lower case, and a URL");
    key_selector = print(&config_area, "header.{s}", .{config[0..blank]});
    service = print(config_area[key_selector.len..], "{s}", .{url});
    out.names(.identity, &.{"header.authorization"});
}

/// Refuses the addresses that documents use (RFC 5737).
fn keepOut(req: Request, out: *Writer) void {
    const address = req.bytes(.source_ip) orelse "";
    if (!std.mem.startsWith(u8, address, "192.0.2.")) return out.allow();
    out.deny();
    out.because("documentation address");
}

/// Lets in whose token is signed and active. A real plugin checks the claims too.
fn checkToken(req: Request, out: *Writer) void {
    const credentials = req.header("authorization") orelse "";
    const token = std.mem.cutPrefix(u8, credentials, "Bearer ") orelse return out.deny();
    var why: [64]u8 = undefined;
    cap.jwksVerify(service, token) catch |err| {
        cap.log(.warn, print(&why, "token refused: {s}", .{cap.name(err)}));
        out.deny();
        return out.because(cap.name(err));
    };
    const tenant = tenantOf(token) catch |err| {
        out.deny();
        return out.because(print(&why, "ask about token: {s}", .{cap.name(err)}));
    } orelse {
        out.deny();
        return out.because("token is not active");
    };
    var principal: [16]u8 = undefined;
    out.allow();
    out.forIdentity(5 * 60 * 1000);
    out.bytes(.principal, print(&principal, "token:{x}", .{cap.sha256(token)[0..4]}));
    out.pairs(.context, &.{.{ .name = "tenant", .value = tenant }});
}

var call_area: [80 << 10]u8 = undefined;
var answer_area: [64 << 10]u8 = undefined;

/// Asks the service; null is a token that is not active.
fn tenantOf(token: []const u8) cap.Error!?[]const u8 {
    var url: [2048]u8 = undefined;
    var call = Writer.init(&call_area, 0);
    call.bytes(.http_method, "POST");
    call.bytes(.http_url, print(&url, "{s}/active", .{service}));
    call.pairs(.http_headers, &.{.{ .name = "content-type", .value = "application/jwt" }});
    call.bytes(.http_body, token);
    const answer = try cap.httpCall(call.finish(), &answer_area);
    if (answer.number(.http_status) != 200) return null;
    return answer.bytes(.http_body) orelse "";
}

fn identify(_: Request, out: *Writer) void {
    out.forRoute();
    out.value(.api_key, &.{select(key_selector)});
}

fn throttle(_: Request, out: *Writer) void {
    out.forRoute();
    out.buckets(&.{
        .{ .name = "address", .key = &.{select("source_ip")}, .rate = 0.1, .burst = 20 },
        .{ .name = "all", .rate = 1000, .burst = 2000 },
    });
}

/// Signs the path, and tells the upstream that it was out of order.
fn mapRequest(req: Request, out: *Writer) void {
    if ((req.number(.body_length) orelse 0) > 1000) {
        out.reply(413);
        return out.bytes(.body, "too long\n");
    }
    const sum = cap.hmacSha256("signing", req.bytes(.path) orelse "") catch |err| {
        var why: [64]u8 = undefined;
        out.reply(500);
        out.bytes(.body, "not signed\n");
        return out.because(print(&why, "sign: {s}", .{cap.name(err)}));
    };
    var signature: [64]u8 = undefined;
    var status: [16]u8 = undefined;
    const failure = cap.kvGet(last_failure, &status) catch null;
    const edits = [_]wasmgate.Edit{
        .{ .op = .set_header, .name = "x-principal", .value = &.{select("principal")} },
        .{ .op = .remove_header, .name = "authorization" },
        .{ .op = .set_query, .name = "v", .value = &.{text("2")} },
        .{ .op = .set_header, .name = "x-signature", .value = &.{text(print(&signature, "{x}", .{&sum}))} },
        .{ .op = .set_header, .name = "x-last-failure", .value = &.{text(failure orelse "")} },
    };
    out.edits(if (failure == null) edits[0..4] else &edits);
}

fn cacheKey(req: Request, out: *Writer) void {
    const method = req.bytes(.method) orelse "";
    if (!std.mem.eql(u8, method, "GET")) return out.number(.cache_bypass, 1);
    out.value(.cache_key, &.{ select("path"), select("param.page") });
    out.number(.cache_ttl_ms, 60 * 1000);
}

/// Authenticates the gateway by a secret.
fn callService(_: Request, out: *Writer) void {
    var room: [256]u8 = undefined;
    const key = cap.secretGet("upstream", &room) catch |err| {
        var why: [64]u8 = undefined;
        out.reply(500);
        out.bytes(.body, "no key\n");
        return out.because(print(&why, "read secret: {s}", .{cap.name(err)}));
    };
    out.forRoute();
    out.value(.call_url, &.{ text(service), select("path") });
    out.number(.call_timeout_ms, 5000);
    out.edits(&.{.{ .op = .set_header, .name = "x-upstream-key", .value = &.{text(key)} }});
}

/// Hides what an upstream that is out of order says, and remembers it.
fn mapResponse(req: Request, out: *Writer) void {
    const status = req.number(.status) orelse 0;
    var why: [64]u8 = undefined;
    if (status < 500) {
        return cap.kvDelete(last_failure) catch |err| cap.log(.warn, print(&why, "forget failure: {s}", .{cap.name(err)}));
    }
    var digits: [20]u8 = undefined;
    cap.kvSet(last_failure, print(&digits, "{d}", .{status}), 60 * 1000) catch |err|
        cap.log(.warn, print(&why, "remember failure: {s}", .{cap.name(err)}));
    out.edits(&.{
        .{ .op = .set_header, .name = "content-type", .value = &.{text("text/plain")} },
        .{ .op = .set_body, .value = &.{text("out of order\n")} },
    });
}

fn observe(req: Request, out: *Writer) void {
    out.pairs(.labels, &.{.{ .name = "tenant", .value = req.first(.context, "tenant") orelse "" }});
}
