// The capabilities: each function is one import, and one power for a reviewer.

import {
  Result, Status, import_crypto_hmac_sha256, import_crypto_sha256, import_http_call, import_jwks_verify, import_kv_delete,
  import_kv_get, import_kv_set, import_log_write, import_secret_get,
} from "./abi";
import { Request } from "./request";
import { decode, utf8 } from "./utf8";
import { Pair, Writer, WRITER_BYTES } from "./writer";

/** What a capability answered: bytes when status is Status.OK. */
export class Outcome {
  constructor(public status: Status, public bytes: Uint8Array) {}

  get ok(): bool {
    return this.status == Status.OK;
  }

  /** The bytes as text; null when there are none, or no UTF-8. */
  get text(): string | null {
    return !this.ok ? null : decode(this.bytes.dataStart, this.bytes.byteLength);
  }

  /** The bytes as the answer of an outbound call, for as long as this is there. */
  get answer(): Request {
    const record = Request.parse(this.bytes.dataStart, this.bytes.byteLength);
    if (record === null) throw new Error("malformed answer");
    return record;
  }
}

/** Writes a line to the gateway's log: 0 debug, 1 info, 2 warn, 3 error. */
export function log(level: i32, line: string): void {
  const b = utf8(line);
  import_log_write(level, b.dataStart, b.byteLength);
}

/**
 * One outbound call, once. Any status of the other side is an answer; one of more than
 * maxAnswer bytes, head and body, is Status.Limit. A timeout of 0 is 1.5 seconds.
 */
export function httpCall(method: string, url: string, headers: Pair[], body: Uint8Array, timeoutMS: u64 = 0, maxAnswer: u32 = 64 << 10): Outcome {
  const record = new Uint8Array(<i32>(4096 + url.length * 3 + body.byteLength + lengthOf(headers)));
  const w = Writer.start(heap.alloc(WRITER_BYTES), record.dataStart, record.byteLength, 0);
  w.text(Result.HTTPMethod, method).text(Result.HTTPURL, url).pairs(Result.HTTPHeaders, headers).bytes(Result.HTTPBody, body);
  if (timeoutMS) w.number(Result.HTTPTimeoutMS, timeoutMS);
  const at = w.finish(), len = w.length;
  heap.free(changetype<usize>(w));
  const out = new Uint8Array(maxAnswer);
  const n = import_http_call(at, len, out.dataStart, maxAnswer);
  return n > <i64>maxAnswer ? new Outcome(Status.Limit, new Uint8Array(0)) : outcome(n, out);
}

function lengthOf(pairs: Pair[]): i32 {
  let n = 0;
  for (let i = 0; i < pairs.length; i++) n += 8 + (pairs[i].name.length + pairs[i].value.length) * 3;
  return n;
}

function outcome(n: i64, out: Uint8Array): Outcome {
  return n < 0 ? new Outcome(<Status>n, new Uint8Array(0)) : new Outcome(Status.OK, out.subarray(0, <i32>n));
}

/** Reads a stored value. */
export function kvGet(key: string): Outcome {
  const k = utf8(key);
  let out = new Uint8Array(256);
  let n = import_kv_get(k.dataStart, k.byteLength, out.dataStart, out.byteLength);
  while (n > out.byteLength) {
    out = new Uint8Array(<i32>n);
    n = import_kv_get(k.dataStart, k.byteLength, out.dataStart, out.byteLength);
  }
  return outcome(n, out);
}

/** Stores a value; a ttl of 0 keeps it until the host ends. */
export function kvSet(key: string, value: Uint8Array, ttlMS: i64): Status {
  const k = utf8(key);
  return <Status>import_kv_set(k.dataStart, k.byteLength, value.dataStart, value.byteLength, ttlMS);
}

/** Deletes a stored value, which may be absent. */
export function kvDelete(key: string): Status {
  const k = utf8(key);
  return <Status>import_kv_delete(k.dataStart, k.byteLength);
}

/** Reads a secret. */
export function secretGet(name: string): Outcome {
  const s = utf8(name);
  let out = new Uint8Array(256);
  let n = import_secret_get(s.dataStart, s.byteLength, out.dataStart, out.byteLength);
  while (n > out.byteLength) {
    out = new Uint8Array(<i32>n);
    n = import_secret_get(s.dataStart, s.byteLength, out.dataStart, out.byteLength);
  }
  return outcome(n, out);
}

/** SHA-256, 32 bytes. */
export function sha256(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(32);
  if (import_crypto_sha256(data.dataStart, data.byteLength, out.dataStart) != Status.OK) throw new Error("sha256 failed");
  return out;
}

/** HMAC with a secret that the guest does not see, 32 bytes. */
export function hmacSHA256(secret: string, data: Uint8Array): Outcome {
  const s = utf8(secret), out = new Uint8Array(32);
  return new Outcome(<Status>import_crypto_hmac_sha256(s.dataStart, s.byteLength, data.dataStart, data.byteLength, out.dataStart), out);
}

/** Verifies the signature of a compact JWS against the key set at a URL. */
export function jwksVerify(url: string, token: string): Status {
  const u = utf8(url), t = utf8(token);
  return <Status>import_jwks_verify(u.dataStart, u.byteLength, t.dataStart, t.byteLength);
}
