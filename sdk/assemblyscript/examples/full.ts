// Full takes part in every hook and uses every power. Its config is a string: the name of the
// header that carries API keys, a blank, and the URL of the service that has the keys of
// tokens, knows which are active, and is the upstream.

import {
  Bucket, Edit, Field, Hook, Pair, Request, Result, Status, Writer, hmacSHA256, httpCall, jwksVerify, kvDelete, kvGet, kvSet,
  log, secretGet, select, serve, sha256, statusName, text, utf8,
} from "../assembly";
export { wg_abi_v1, wg_scratch } from "../assembly";

/** Where the store keeps the status of an upstream that is out of order. */
const LAST_FAILURE = "full/last-failure";

// What configure set.
let keyHeader = "", service = "";

export function wg_configure(len: u32): u64 {
  return serve(len, Hook.Configure, (req, out) => {
    const config = req.text(Field.Config) || "";
    const blank = config.indexOf(" ");
    const header = config.substring(0, max(blank, 0)), url = config.substring(blank + 1);
    if (header == "" || header != header.toLowerCase() || !url.startsWith("http")) {
      out.text(Result.Error, "want the name of a header, lower case, and a URL");
      return;
    }
    keyHeader = header;
    service = url;
    out.names(Result.Identity, ["header.authorization"]);
  });
}

/** Refuses the addresses that documents use (RFC 5737). */
export function wg_guard(len: u32): u64 {
  return serve(len, Hook.Guard, (req, out) => {
    const address = req.text(Field.SourceIP);
    if (address !== null && address.startsWith("192.0.2.")) out.deny().because("documentation address");
    else out.allow();
  });
}

export function wg_authorize(len: u32): u64 {
  return serve(len, Hook.Authorize, checkToken);
}

/** Lets in whose token is signed and active. A real plugin checks the claims too. */
function checkToken(req: Request, out: Writer): void {
  const credentials = req.header("authorization");
  if (credentials === null || !credentials.startsWith("Bearer ")) {
    out.deny();
    return;
  }
  const token = credentials.substring(7);
  const status = jwksVerify(service, token);
  if (status != Status.OK) {
    log(2, "token refused: " + statusName(status));
    out.deny().because(statusName(status));
    return;
  }
  const called = httpCall("POST", service + "/active", [new Pair("content-type", "application/jwt")], utf8(token));
  if (!called.ok) {
    out.deny().because("ask about token: " + statusName(called.status));
    return;
  }
  const tenant = called.answer.text(Field.HTTPBody);
  if (called.answer.number(Field.HTTPStatus) != 200 || tenant === null) {
    out.deny().because("token is not active");
    return;
  }
  out.allow().forIdentity(5 * 60 * 1000)
    .text(Result.Principal, "token:" + hex(sha256(utf8(token)).subarray(0, 4)))
    .pairs(Result.Context, [new Pair("tenant", tenant)]);
}

function hex(bytes: Uint8Array): string {
  let s = "";
  for (let i = 0; i < bytes.length; i++) s += (bytes[i] >> 4).toString(16) + (bytes[i] & 15).toString(16);
  return s;
}

export function wg_identify(len: u32): u64 {
  return serve(len, Hook.Identify, (_req, out) => {
    out.forRoute().value(Result.APIKey, [select("header." + keyHeader)]);
  });
}

export function wg_throttle(len: u32): u64 {
  return serve(len, Hook.Throttle, (_req, out) => {
    out.forRoute().buckets([new Bucket("address", [select("source_ip")], 0.1, 20), new Bucket("all", [], 1000, 2000)]);
  });
}

export function wg_map_request(len: u32): u64 {
  return serve(len, Hook.MapRequest, mapRequest);
}

/** Signs the path, and tells the upstream that it was out of order. */
function mapRequest(req: Request, out: Writer): void {
  if (req.number(Field.BodyLength) > 1000) {
    out.reply(413).text(Result.Body, "too long\n");
    return;
  }
  const path = req.bytes(Field.Path) || new Uint8Array(0);
  const signature = hmacSHA256("signing", path);
  if (!signature.ok) {
    out.reply(500).text(Result.Body, "not signed\n").because("sign: " + statusName(signature.status));
    return;
  }
  const edits = [
    Edit.setHeader("x-principal", [select("principal")]),
    Edit.removeHeader("authorization"),
    Edit.setQuery("v", [text("2")]),
    Edit.setHeader("x-signature", [text(hex(signature.bytes))]),
  ];
  const failure = kvGet(LAST_FAILURE).text;
  if (failure !== null) edits.push(Edit.setHeader("x-last-failure", [text(failure)]));
  out.edits(edits);
}

export function wg_cache_key(len: u32): u64 {
  return serve(len, Hook.CacheKey, (req, out) => {
    if (req.text(Field.Method) != "GET") out.number(Result.CacheBypass, 1);
    else out.value(Result.CacheKey, [select("path"), select("param.page")]).number(Result.CacheTTLMS, 60 * 1000);
  });
}

/** Authenticates the gateway by a secret. */
export function wg_integrate(len: u32): u64 {
  return serve(len, Hook.Integrate, (_req, out) => {
    const key = secretGet("upstream"), value = key.text;
    if (value === null) {
      out.reply(500).text(Result.Body, "no key\n").because("read secret: " + statusName(key.status));
      return;
    }
    out.forRoute().value(Result.CallURL, [text(service), select("path")]).number(Result.CallTimeoutMS, 5000)
      .edits([Edit.setHeader("x-upstream-key", [text(value)])]);
  });
}

/** Hides what an upstream that is out of order says, and remembers it. */
export function wg_map_response(len: u32): u64 {
  return serve(len, Hook.MapResponse, (req, out) => {
    const code = req.number(Field.Status);
    const status = code < 500 ? kvDelete(LAST_FAILURE) : kvSet(LAST_FAILURE, utf8(code.toString()), 60 * 1000);
    if (status != Status.OK) log(2, "remember failure: " + statusName(status));
    if (code >= 500) out.edits([Edit.setHeader("content-type", [text("text/plain")]), Edit.setBody([text("out of order\n")])]);
  });
}

export function wg_observe(len: u32): u64 {
  return serve(len, Hook.Observe, (req, out) => {
    const tenant = req.first(Field.Context, "tenant") || "";
    out.pairs(Result.Labels, [new Pair("tenant", tenant)]);
  });
}
