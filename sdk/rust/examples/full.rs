//! Full takes part in every hook. Its config is a string: the name of the header that carries API keys.

use std::fmt::Write;
use std::sync::OnceLock;
use wasmgate::abi::{field, result};
use wasmgate::{cap, Bucket, Edit, Part, Request, Writer};

wasmgate::plugin! {
    configure => set_up,
    guard => keep_out,
    authorize => check_token,
    identify => identify,
    throttle => throttle,
    map_request => map_request,
    cache_key => cache_key,
    integrate => integrate,
    map_response => map_response,
    observe => observe,
}

static KEY: OnceLock<String> = OnceLock::new();

fn set_up(req: &Request, out: &mut Writer) {
    let name = req.text(field::CONFIG).unwrap_or_default();
    if name.is_empty() || name.bytes().any(|b| b.is_ascii_uppercase()) {
        out.bytes(result::ERROR, "want the name of a header, lower case");
        return;
    }
    KEY.get_or_init(|| format!("header.{name}"));
    out.names(result::IDENTITY, &["header.authorization"]);
}

/// Refuses the addresses that documents use (RFC 5737).
fn keep_out(req: &Request, out: &mut Writer) {
    if req.text(field::SOURCE_IP).is_some_and(|a| a.starts_with("192.0.2.")) {
        out.deny().because("documentation address");
    } else {
        out.allow();
    }
}

/// Lets in whose token is signed. A real plugin checks the claims too.
fn check_token(req: &Request, out: &mut Writer) {
    let Some(token) = req.header("authorization").and_then(|v| v.strip_prefix(b"Bearer ")) else {
        out.deny();
        return;
    };
    if let Err(status) = cap::jwks_verify("https://id.example", token) {
        cap::log(2, &format!("token refused: {}", status.name()));
        out.deny().because(status.name());
        return;
    }
    let mut principal = String::from("token:");
    for byte in &cap::sha256(token)[..4] {
        write!(principal, "{byte:02x}").unwrap();
    }
    let tenant = req.first(field::STAGE_VARIABLES, "tenant").unwrap_or_default();
    out.allow().for_identity(5 * 60 * 1000).bytes(result::PRINCIPAL, principal).pairs(result::CONTEXT, &[(b"tenant", tenant)]);
}

fn identify(_: &Request, out: &mut Writer) {
    let key = KEY.get().expect("configured");
    out.for_route().value(result::API_KEY, &[Part::Select(key)]);
}

fn throttle(_: &Request, out: &mut Writer) {
    out.for_route().buckets(&[
        Bucket { name: "address", key: &[Part::Select("source_ip")], rate: 10.0, burst: 20, cost: 1 },
        Bucket { name: "all", key: &[], rate: 1000.0, burst: 2000, cost: 1 },
    ]);
}

fn map_request(req: &Request, out: &mut Writer) {
    if req.number(field::BODY_LENGTH).is_some_and(|n| n > 1000) {
        out.reply(413).bytes(result::BODY, "too long\n");
        return;
    }
    out.edits(&[
        Edit::set_header("x-principal", &[Part::Select("principal")]),
        Edit::remove_header("authorization"),
        Edit::set_query("v", &[Part::Text("2")]),
    ]);
}

fn cache_key(req: &Request, out: &mut Writer) {
    if req.bytes(field::METHOD) != Some(b"GET") {
        out.number(result::CACHE_BYPASS, 1);
        return;
    }
    out.value(result::CACHE_KEY, &[Part::Select("path"), Part::Select("param.page")]).number(result::CACHE_TTL_MS, 60_000);
}

fn integrate(_: &Request, out: &mut Writer) {
    out.for_route()
        .value(result::CALL_URL, &[Part::Text("https://up.example"), Part::Select("path")])
        .number(result::CALL_TIMEOUT_MS, 5000);
}

fn map_response(req: &Request, out: &mut Writer) {
    if req.number(field::STATUS).is_some_and(|s| s >= 500) {
        out.edits(&[
            Edit::set_header("content-type", &[Part::Text("text/plain")]),
            Edit::set_body(&[Part::Text("out of order\n")]),
        ]);
    }
}

fn observe(req: &Request, out: &mut Writer) {
    let tenant = req.first(field::CONTEXT, "tenant").unwrap_or_default();
    out.pairs(result::LABELS, &[(b"tenant", tenant)]);
}
