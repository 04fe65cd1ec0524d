import { ENTRY_BYTES, Field, HEADER_BYTES, MAGIC, MAX_FIELDS, Type, VERSION } from "./abi";
import { decode, same } from "./utf8";

/** A request, or a capability's answer; it holds until the hook returns. */
@unmanaged
export class Request {
  /** Checks header and table; null is malformed. */
  static parse(ptr: usize, len: u32): Request | null {
    if (len < HEADER_BYTES || load<u32>(ptr) != MAGIC || load<u16>(ptr, 4) != VERSION) return null;
    const count = <u32>load<u16>(ptr, 6);
    if (load<u32>(ptr, 8) != len || load<u16>(ptr, 14) != 0 || count > MAX_FIELDS) return null;
    if (len - HEADER_BYTES < count * ENTRY_BYTES) return null;
    let last = -1;
    for (let i: u32 = 0; i < count; i++) {
      const entry = ptr + HEADER_BYTES + i * ENTRY_BYTES;
      const id = <i32>load<u16>(entry), at = load<u32>(entry, 4);
      if (id <= last || at > len || load<u32>(entry, 8) > len - at) return null;
      last = id;
    }
    return changetype<Request>(ptr);
  }

  /** Number of fields. */
  get count(): u32 {
    return load<u16>(changetype<usize>(this), 6);
  }

  /** The table's entry at an index, for what reads every field. */
  entry(index: u32): usize {
    if (index >= this.count) throw new RangeError("no such field");
    return changetype<usize>(this) + HEADER_BYTES + index * ENTRY_BYTES;
  }

  /** The table's entry of a field; 0 when it is absent. */
  private find(field: Field, type: Type): usize {
    const count = this.count;
    for (let i: u32 = 0; i < count; i++) {
      const entry = this.entry(i);
      if (load<u16>(entry) != <u16>field) continue;
      if (load<u16>(entry, 2) != <u16>type) throw new TypeError("field of another type");
      return entry;
    }
    return 0;
  }

  private data(entry: usize): usize {
    return changetype<usize>(this) + load<u32>(entry, 4);
  }

  /** Is the field there, with that type? */
  has(field: Field, type: Type = Type.Bytes): bool {
    return this.find(field, type) != 0;
  }

  /** A field of bytes, copied; null when it is absent. */
  bytes(field: Field): Uint8Array | null {
    const entry = this.find(field, Type.Bytes);
    return entry ? copied(this.data(entry), load<u32>(entry, 8)) : null;
  }

  /** A field of text; null when it is absent or no UTF-8. */
  text(field: Field): string | null {
    const entry = this.find(field, Type.Bytes);
    return entry ? decode(this.data(entry), load<u32>(entry, 8)) : null;
  }

  /** A number; absent when the field is. */
  number(field: Field, absent: u64 = 0): u64 {
    const entry = this.find(field, Type.U64);
    if (!entry) return absent;
    if (load<u32>(entry, 8) != 8) throw new RangeError("number of another length");
    return load<u64>(this.data(entry));
  }

  /** A list of pairs; an absent one is empty. */
  pairs(field: Field): Pairs {
    const entry = this.find(field, Type.Pairs);
    return entry ? new Pairs(this.data(entry), load<u32>(entry, 8)) : new Pairs(0, 0);
  }

  /** The first value of a name in a list of pairs; null when it is absent or no UTF-8. */
  first(field: Field, name: string): string | null {
    for (const p = this.pairs(field); p.next(); ) {
      if (p.named(name)) return p.value;
    }
    return null;
  }

  /**
   * The value of a request header that is there once. One that is there twice is as absent:
   * who reads one of two may read another one than the upstream. So is one that is no UTF-8:
   * a plugin that refuses what is there walks over pairs(Field.Headers).
   */
  header(name: string): string | null {
    let value: string | null = null, found = false;
    for (const p = this.pairs(Field.Headers); p.next(); ) {
      if (!p.named(name)) continue;
      if (found) return null;
      value = p.value;
      found = true;
    }
    return value;
  }
}

/** Names and values, in order: `for (const p = req.pairs(Field.Headers); p.next(); )`. */
export class Pairs {
  private left: u32 = 0;
  private nameAt: usize = 0;
  private nameLength: u32 = 0;
  private valueAt: usize = 0;
  private valueLength: u32 = 0;

  /** What is to be read: a count, and the pairs. */
  constructor(private at: usize, private room: u32) {
    if (at) this.left = load<u32>(this.take(4));
  }

  private take(n: u32): usize {
    if (n > this.room) throw new RangeError("list is cut off");
    this.room -= n;
    this.at += n;
    return this.at - n;
  }

  /** Goes to the first pair, or to the next; false after the last. */
  next(): bool {
    if (!this.left) {
      if (this.room) throw new RangeError("bytes after the last pair");
      return false;
    }
    this.left--;
    const lengths = this.take(8);
    this.nameLength = load<u32>(lengths);
    this.valueLength = load<u32>(lengths, 4);
    this.nameAt = this.take(this.nameLength);
    this.valueAt = this.take(this.valueLength);
    return true;
  }

  /** Does the pair have that name? */
  named(name: string): bool {
    return same(this.nameAt, this.nameLength, name);
  }

  /** The pair's name; null when it is no UTF-8. */
  get name(): string | null {
    return decode(this.nameAt, this.nameLength);
  }

  /** The pair's value; null when it is no UTF-8. */
  get value(): string | null {
    return decode(this.valueAt, this.valueLength);
  }

  /** The pair's value, copied. */
  get bytes(): Uint8Array {
    return copied(this.valueAt, this.valueLength);
  }
}

function copied(ptr: usize, len: u32): Uint8Array {
  const out = new Uint8Array(len);
  memory.copy(out.dataStart, ptr, len);
  return out;
}
