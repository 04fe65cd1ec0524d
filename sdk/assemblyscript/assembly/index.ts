// Write Wasmgate plugins: see README.md. A plugin exports wg_abi_v1 and wg_scratch from
// here and its hooks; only the capabilities that it calls are imported.

export { Type, Hook, Field, Result, Decision, Scope, Op, Call, Status } from "./abi";
export { wg_abi_v1, wg_scratch, serve } from "./guest";
export { Request, Pairs } from "./request";
export { Writer, Pair, Part, Edit, Bucket, text, select } from "./writer";
export { Outcome, log, httpCall, kvGet, kvSet, kvDelete, secretGet, sha256, hmacSHA256, jwksVerify } from "./cap";
export { statusName } from "./status";
export { utf8 } from "./utf8";
