import { Decision, ENTRY_BYTES, HEADER_BYTES, MAGIC, MAX_FIELDS, Op, Result, Scope, Type, VERSION } from "./abi";

/** A name and its value. */
export class Pair {
  constructor(public name: string, public value: string) {}
}

/** A piece of a value that the host joins for each request: text or select. */
export class Part {
  constructor(public text: string, public selects: bool) {}
}

/** A literal. */
export function text(literal: string): Part {
  return new Part(literal, false);
}

/** A selector, such as header.x-api-key. */
export function select(selector: string): Part {
  return new Part(selector, true);
}

/** One change of a request or response; the operations are those of abi/v1/README.md. */
export class Edit {
  constructor(public op: Op, public name: string, public value: Part[]) {}

  static setHeader(name: string, value: Part[]): Edit { return new Edit(Op.SetHeader, name, value); }
  static addHeader(name: string, value: Part[]): Edit { return new Edit(Op.AddHeader, name, value); }
  static removeHeader(name: string): Edit { return new Edit(Op.RemoveHeader, name, []); }
  static setQuery(name: string, value: Part[]): Edit { return new Edit(Op.SetQuery, name, value); }
  static addQuery(name: string, value: Part[]): Edit { return new Edit(Op.AddQuery, name, value); }
  static removeQuery(name: string): Edit { return new Edit(Op.RemoveQuery, name, []); }
  static setRawQuery(value: Part[]): Edit { return new Edit(Op.SetRawQuery, "", value); }
  static setContext(name: string, value: Part[]): Edit { return new Edit(Op.SetContext, name, value); }
  static setPath(value: Part[]): Edit { return new Edit(Op.SetPath, "", value); }
  static setMethod(value: Part[]): Edit { return new Edit(Op.SetMethod, "", value); }
  static setAuthority(value: Part[]): Edit { return new Edit(Op.SetAuthority, "", value); }
  static setStatus(value: Part[]): Edit { return new Edit(Op.SetStatus, "", value); }
  static setBody(value: Part[]): Edit { return new Edit(Op.SetBody, "", value); }
}

/** A token bucket, which the host keeps: rate is tokens a second, and no key is one bucket for all. */
export class Bucket {
  constructor(public name: string, public key: Part[], public rate: f64, public burst: u64, public cost: u64 = 1) {}
}

/** Where data begin: the table before them has room for every field. */
const DATA: u32 = HEADER_BYTES + MAX_FIELDS * ENTRY_BYTES;

/** The members of a Writer, and type, place and length of each field. */
export const WRITER_BYTES: u32 = 32 + MAX_FIELDS * 12;

/** Writes a result: each field once, in any order. One that is full traps. */
@unmanaged
export class Writer {
  private present: u64;
  private buf: usize;
  private cap: u32;
  private end: u32;
  private hook: u32;
  /** Bytes of the finished record. */
  length: u32;

  /** Begins a record in cap bytes at buf; at has room for a Writer. hook is 0 in the records of a capability. */
  static start(at: usize, buf: usize, cap: u32, hook: u16): Writer {
    const w = changetype<Writer>(at);
    w.present = 0;
    w.buf = buf;
    w.cap = cap;
    w.end = DATA;
    w.hook = hook;
    w.length = 0;
    return w;
  }

  private room(n: u32): usize {
    if (n > this.cap - this.end) throw new RangeError("the result is full");
    this.end += n;
    return this.buf + this.end - n;
  }

  private slot(id: u32): usize {
    return changetype<usize>(this) + 32 + id * 12;
  }

  private begin(id: u16, type: u16): void {
    if (id >= <u16>MAX_FIELDS || (this.present >> id) & 1) throw new RangeError("field written twice");
    this.present |= <u64>1 << id;
    store<u32>(this.slot(id), type);
    store<u32>(this.slot(id), this.end, 4);
  }

  private done(id: u16): Writer {
    store<u32>(this.slot(id), this.end - load<u32>(this.slot(id), 4), 8);
    return this;
  }

  private put32(v: u32): void {
    store<u32>(this.room(4), v);
  }

  private put64(v: u64): void {
    store<u64>(this.room(8), v);
  }

  private putText(s: string): void {
    const at = this.room(String.UTF8.byteLength(s));
    String.UTF8.encodeUnsafe(changetype<usize>(s), s.length, at, false, String.UTF8.ErrorMode.REPLACE);
  }

  /** Any field, as bytes. */
  raw(id: u16, type: u16, ptr: usize, len: u32): Writer {
    this.begin(id, type);
    memory.copy(this.room(len), ptr, len);
    return this.done(id);
  }

  /** A field of bytes. */
  bytes(id: Result, v: Uint8Array): Writer {
    return this.raw(<u16>id, <u16>Type.Bytes, v.dataStart, v.byteLength);
  }

  /** A field of bytes that are text. */
  text(id: Result, v: string): Writer {
    this.begin(<u16>id, <u16>Type.Bytes);
    this.putText(v);
    return this.done(<u16>id);
  }

  number(id: Result, v: u64): Writer {
    this.begin(<u16>id, <u16>Type.U64);
    this.put64(v);
    return this.done(<u16>id);
  }

  pairs(id: Result, pairs: Pair[]): Writer {
    this.begin(<u16>id, <u16>Type.Pairs);
    this.put32(pairs.length);
    for (let i = 0; i < pairs.length; i++) {
      const p = pairs[i];
      this.put32(String.UTF8.byteLength(p.name));
      this.put32(String.UTF8.byteLength(p.value));
      this.putText(p.name);
      this.putText(p.value);
    }
    return this.done(<u16>id);
  }

  names(id: Result, names: string[]): Writer {
    this.begin(<u16>id, <u16>Type.Names);
    this.put32(names.length);
    for (let i = 0; i < names.length; i++) {
      this.put32(String.UTF8.byteLength(names[i]));
      this.putText(names[i]);
    }
    return this.done(<u16>id);
  }

  private template(parts: Part[]): void {
    for (let i = 0; i < parts.length; i++) {
      const p = parts[i];
      this.put32(String.UTF8.byteLength(p.text) | (p.selects ? 1 << 31 : 0));
      this.putText(p.text);
    }
  }

  private named(name: string, value: Part[]): void {
    this.put32(String.UTF8.byteLength(name));
    const length = this.room(4);
    this.putText(name);
    const from = this.end;
    this.template(value);
    store<u32>(length, this.end - from);
  }

  value(id: Result, parts: Part[]): Writer {
    this.begin(<u16>id, <u16>Type.Value);
    this.template(parts);
    return this.done(<u16>id);
  }

  edits(edits: Edit[]): Writer {
    this.begin(<u16>Result.Edits, <u16>Type.Edits);
    this.put32(edits.length);
    for (let i = 0; i < edits.length; i++) {
      this.put32(edits[i].op); // u16 op, u16 zero
      this.named(edits[i].name, edits[i].value);
    }
    return this.done(<u16>Result.Edits);
  }

  buckets(buckets: Bucket[]): Writer {
    this.begin(<u16>Result.Buckets, <u16>Type.Buckets);
    this.put32(buckets.length);
    for (let i = 0; i < buckets.length; i++) {
      const b = buckets[i];
      this.put64(reinterpret<u64>(b.rate));
      this.put64(b.burst);
      this.put64(b.cost);
      this.named(b.name, b.key);
    }
    return this.done(<u16>Result.Buckets);
  }

  allow(): Writer {
    return this.number(Result.Decision, Decision.Allow);
  }

  deny(): Writer {
    return this.number(Result.Decision, Decision.Deny);
  }

  reply(status: u64): Writer {
    return this.number(Result.Decision, Decision.Reply).number(Result.Status, status);
  }

  /** Why, for the operator's log. */
  because(reason: string): Writer {
    return this.text(Result.Reason, reason);
  }

  /** Holds for every request of the route: only for what depends on the request by selectors alone. */
  forRoute(): Writer {
    return this.number(Result.Scope, Scope.Route);
  }

  /** Holds for the identity that configure named. */
  forIdentity(ttlMS: u64): Writer {
    return this.number(Result.Scope, Scope.Identity).number(Result.TTLMS, ttlMS);
  }

  /** Where the record begins; its length is 0 when no field was written. */
  finish(): usize {
    const count = <u32>popcnt<u64>(this.present);
    if (!count) return this.buf;
    // The table ends where the data begin, so that nothing moves.
    const start = DATA - HEADER_BYTES - count * ENTRY_BYTES;
    let at = this.buf + start;
    this.length = this.end - start;
    store<u32>(at, MAGIC);
    store<u16>(at, VERSION, 4);
    store<u16>(at, count, 6);
    store<u32>(at, this.length, 8);
    store<u32>(at, this.hook, 12); // u16 hook, u16 zero
    at += HEADER_BYTES;
    for (let left = this.present; left; left &= left - 1) {
      const id = <u32>ctz<u64>(left), slot = this.slot(id);
      store<u16>(at, id);
      store<u16>(at, load<u32>(slot), 2);
      store<u32>(at, load<u32>(slot, 4) - start, 4);
      store<u32>(at, load<u32>(slot, 8), 8);
      at += ENTRY_BYTES;
    }
    return this.buf + start;
  }
}
