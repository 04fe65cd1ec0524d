// Echo is a guest whose hooks answer with their request, field by field: host's
// TestSDKVectors runs abi/v1/vectors through it. Its guard reads known fields first, as
// plugins do, so that a field that is not as the contract has it traps.

import { Field, Hook, Pair, Request, Result, Type, Writer, serve } from "../assembly";
export { wg_abi_v1, wg_scratch } from "../assembly";

function again(req: Request, out: Writer): void {
  for (let i: u32 = 0; i < req.count; i++) {
    const entry = req.entry(i);
    const id = load<u16>(entry), type = load<u16>(entry, 2);
    if (id >= 64) continue; // can be skipped, but not written
    if (type == <u16>Type.U64) out.number(<Result>id, req.number(<Field>id));
    else if (type == <u16>Type.Bytes) out.bytes(<Result>id, req.bytes(<Field>id)!);
    else if (type == <u16>Type.Pairs) out.pairs(<Result>id, list(req, <Field>id));
    else out.raw(id, type, changetype<usize>(req) + load<u32>(entry, 4), load<u32>(entry, 8));
  }
}

function list(req: Request, field: Field): Pair[] {
  const pairs: Pair[] = [];
  for (const p = req.pairs(field); p.next(); ) pairs.push(new Pair(p.name!, p.value!));
  return pairs;
}

export function wg_guard(len: u32): u64 {
  return serve(len, Hook.Guard, (req, out) => {
    req.bytes(Field.Method);
    req.number(Field.TimeMS);
    list(req, Field.Headers);
    again(req, out);
  });
}
export function wg_authorize(len: u32): u64 { return serve(len, Hook.Authorize, again); }
export function wg_identify(len: u32): u64 { return serve(len, Hook.Identify, again); }
export function wg_throttle(len: u32): u64 { return serve(len, Hook.Throttle, again); }
export function wg_map_request(len: u32): u64 { return serve(len, Hook.MapRequest, again); }
export function wg_cache_key(len: u32): u64 { return serve(len, Hook.CacheKey, again); }
export function wg_integrate(len: u32): u64 { return serve(len, Hook.Integrate, again); }
export function wg_map_response(len: u32): u64 { return serve(len, Hook.MapResponse, again); }
export function wg_observe(len: u32): u64 { return serve(len, Hook.Observe, again); }
