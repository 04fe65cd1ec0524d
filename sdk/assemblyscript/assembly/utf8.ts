/** The bytes of a text. */
export function utf8(text: string): Uint8Array {
  return Uint8Array.wrap(String.UTF8.encode(text));
}

/** The text of UTF-8; null when it is none: two different values must not read the same. */
export function decode(ptr: usize, len: u32): string | null {
  return valid(ptr, len) ? String.UTF8.decodeUnsafe(ptr, len) : null;
}

/** Are these the bytes of that text? */
export function same(ptr: usize, len: u32, text: string): bool {
  const units = <u32>text.length;
  if (len < units) return false;
  for (let i: u32 = 0; i < units; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return <u32>String.UTF8.byteLength(text) == len && decode(ptr, len) == text;
    if (load<u8>(ptr + i) != <u8>unit) return false;
  }
  return len == units;
}

/** As RFC 3629 has it: no overlong form, no surrogate, nothing above U+10FFFF. */
function valid(ptr: usize, len: u32): bool {
  const end = ptr + len;
  while (ptr < end) {
    const b = <u32>load<u8>(ptr);
    if (b < 0x80) {
      ptr++;
      continue;
    }
    let more: u32 = 3;
    if (b < 0xe0) more = 1;
    else if (b < 0xf0) more = 2;
    if (b < 0xc2 || b > 0xf4 || end - ptr <= more) return false;
    const next = <u32>load<u8>(ptr + 1);
    if (b == 0xe0 && next < 0xa0) return false;
    if (b == 0xed && next > 0x9f) return false;
    if (b == 0xf0 && next < 0x90) return false;
    if (b == 0xf4 && next > 0x8f) return false;
    for (let i: u32 = 1; i <= more; i++) {
      if ((load<u8>(ptr + i) & 0xc0) != 0x80) return false;
    }
    ptr += 1 + more;
  }
  return true;
}
