//! Full takes part in every hook and uses every power. Its config is a string: the name of the header
//! that carries API keys, a blank, and the URL of the service that has the keys of tokens, knows which
//! are active, and is the upstream.

use std::fmt::Write;
use std::sync::OnceLock;
use wasmgate::abi::{field, result};
use wasmgate::{cap, Bucket, Edit, Part, Request, Status, Writer};

wasmgate::plugin! {
    configure => set_up,
    guard => keep_out,
    authorize => check_token,
    identify => identify,
    throttle => throttle,
    map_request => map_request,
    cache_key => cache_key,
    integrate => call_service,
    map_response => map_response,
    observe => observe,
}

/// Where the store keeps the status of an upstream that is out of order.
const LAST_FAILURE: &[u8] = b"full/last-failure";

struct Config {
    key: String, // the selector of API keys
    service: String,
}

static CONFIG: OnceLock<Config> = OnceLock::new();

fn config() -> &'static Config {
    CONFIG.get().expect("configured")
}

fn set_up(req: &Request, out: &mut Writer) {
    let (header, service) = req.text(field::CONFIG).and_then(|c| c.split_once(' ')).unwrap_or_default();
    if header.is_empty() || header.bytes().any(|b| b.is_ascii_uppercase()) || !service.starts_with("http") {
        out.bytes(result::ERROR, "want the name of a header, lower case, and a URL");
        return;
    }
    CONFIG.get_or_init(|| Config { key: format!("header.{header}"), service: service.to_string() });
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut s, b| {
        write!(s, "{b:02x}").unwrap();
        s
    })
}

/// Lets in whose token is signed and active. A real plugin checks the claims too.
fn check_token(req: &Request, out: &mut Writer) {
    let Some(token) = req.header("authorization").and_then(|v| v.strip_prefix(b"Bearer ")) else {
        out.deny();
        return;
    };
    if let Err(status) = cap::jwks_verify(&config().service, token) {
        cap::log(2, &format!("token refused: {}", status.name()));
        out.deny().because(status.name());
        return;
    }
    match tenant_of(token) {
        Ok(Some(tenant)) => {
            let principal = format!("token:{}", hex(&cap::sha256(token)[..4]));
            out.allow().for_identity(5 * 60 * 1000);
            out.bytes(result::PRINCIPAL, principal).pairs(result::CONTEXT, &[(b"tenant", &tenant)]);
        }
        Ok(None) => {
            out.deny().because("token is not active");
        }
        Err(status) => {
            out.deny().because(&format!("ask about token: {}", status.name()));
        }
    }
}

/// Asks the service; `None` is a token that is not active.
fn tenant_of(token: &[u8]) -> Result<Option<Vec<u8>>, Status> {
    let mut room = vec![0; 4096 + token.len()];
    let mut call = Writer::new(&mut room, 0);
    call.bytes(result::HTTP_METHOD, "POST")
        .bytes(result::HTTP_URL, format!("{}/active", config().service))
        .pairs(result::HTTP_HEADERS, &[(b"content-type", b"application/jwt")])
        .bytes(result::HTTP_BODY, token);
    let mut out = vec![0; 64 << 10];
    let answer = cap::http_call(call.finish(), &mut out)?;
    if answer.number(field::HTTP_STATUS) != Some(200) {
        return Ok(None);
    }
    Ok(Some(answer.bytes(field::HTTP_BODY).unwrap_or_default().to_vec()))
}

fn identify(_: &Request, out: &mut Writer) {
    out.for_route().value(result::API_KEY, &[Part::Select(&config().key)]);
}

fn throttle(_: &Request, out: &mut Writer) {
    out.for_route().buckets(&[
        Bucket { name: "address", key: &[Part::Select("source_ip")], rate: 0.1, burst: 20, cost: 1 },
        Bucket { name: "all", key: &[], rate: 1000.0, burst: 2000, cost: 1 },
    ]);
}

/// Signs the path, and tells the upstream that it was out of order.
fn map_request(req: &Request, out: &mut Writer) {
    if req.number(field::BODY_LENGTH).is_some_and(|n| n > 1000) {
        out.reply(413).bytes(result::BODY, "too long\n");
        return;
    }
    let signature = match cap::hmac_sha256("signing", req.bytes(field::PATH).unwrap_or_default()) {
        Ok(sum) => hex(&sum),
        Err(status) => {
            out.reply(500).bytes(result::BODY, "not signed\n").because(&format!("sign: {}", status.name()));
            return;
        }
    };
    let signature = [Part::Text(&signature)];
    let mut edits = vec![
        Edit::set_header("x-principal", &[Part::Select("principal")]),
        Edit::remove_header("authorization"),
        Edit::set_query("v", &[Part::Text("2")]),
        Edit::set_header("x-signature", &signature),
    ];
    let mut room = [0; 16];
    let status = cap::kv_get(LAST_FAILURE, &mut room).ok().and_then(|v| core::str::from_utf8(v).ok());
    let status = status.map(|s| [Part::Text(s)]);
    if let Some(status) = &status {
        edits.push(Edit::set_header("x-last-failure", status));
    }
    out.edits(&edits);
}

fn cache_key(req: &Request, out: &mut Writer) {
    if req.bytes(field::METHOD) != Some(b"GET") {
        out.number(result::CACHE_BYPASS, 1);
        return;
    }
    out.value(result::CACHE_KEY, &[Part::Select("path"), Part::Select("param.page")]).number(result::CACHE_TTL_MS, 60_000);
}

/// Authenticates the gateway by a secret.
fn call_service(_: &Request, out: &mut Writer) {
    let mut room = [0; 256];
    let key = match cap::secret_get("upstream", &mut room) {
        Ok(key) => String::from_utf8_lossy(key),
        Err(status) => {
            out.reply(500).bytes(result::BODY, "no key\n").because(&format!("read secret: {}", status.name()));
            return;
        }
    };
    out.for_route()
        .value(result::CALL_URL, &[Part::Text(&config().service), Part::Select("path")])
        .number(result::CALL_TIMEOUT_MS, 5000)
        .edits(&[Edit::set_header("x-upstream-key", &[Part::Text(&key)])]);
}

/// Hides what an upstream that is out of order says, and remembers it.
fn map_response(req: &Request, out: &mut Writer) {
    let status = req.number(field::STATUS).unwrap_or_default();
    if status < 500 {
        if let Err(why) = cap::kv_delete(LAST_FAILURE) {
            cap::log(2, &format!("forget failure: {}", why.name()));
        }
        return;
    }
    if let Err(why) = cap::kv_set(LAST_FAILURE, status.to_string().as_bytes(), 60_000) {
        cap::log(2, &format!("remember failure: {}", why.name()));
    }
    out.edits(&[
        Edit::set_header("content-type", &[Part::Text("text/plain")]),
        Edit::set_body(&[Part::Text("out of order\n")]),
    ]);
}

fn observe(req: &Request, out: &mut Writer) {
    let tenant = req.first(field::CONTEXT, "tenant").unwrap_or_default();
    out.pairs(result::LABELS, &[(b"tenant", tenant)]);
}
