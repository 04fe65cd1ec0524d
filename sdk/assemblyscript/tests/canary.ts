// Canary is a guest for tests: it keeps what a request says, tells the next one, and shows
// its memory. With isolation fresh it can tell and show nothing.

import { Hook, Pair, Result, serve } from "../assembly";
export { wg_abi_v1, wg_scratch } from "../assembly";

let kept = "", first: i32 = 0;

export function wg_guard(len: u32): u64 {
  return serve(len, Hook.Guard, (req, out) => {
    out.allow().because(kept);
    if (first) out.pairs(Result.Headers, [new Pair("x-first", String.fromCharCode(first))]);
    kept = req.header("x-canary")!;
    first = kept.charCodeAt(0);
  });
}

/** Shows a page of the memory; the length of the record is its number. */
export function wg_throttle(len: u32): u64 {
  return (<u64>len << 48) | (1 << 16);
}
