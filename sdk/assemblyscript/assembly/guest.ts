import { Hook } from "./abi";
import { Request } from "./request";
import { Writer, WRITER_BYTES } from "./writer";

/** The longest request record, and the longest result: what wg_scratch tells the host. */
const SCRATCH_BYTES: u32 = 320 << 10;
const RESULT_BYTES: u32 = 64 << 10;

const scratch = memory.data(SCRATCH_BYTES);
const result = memory.data(RESULT_BYTES);
const writer = memory.data(WRITER_BYTES);

/** Says that the module speaks this contract; never called. */
export function wg_abi_v1(): void {}

/** Where requests are written. */
export function wg_scratch(): u64 {
  return (<u64>scratch << 32) | SCRATCH_BYTES;
}

/**
 * Runs one hook: `return serve(len, Hook.Authorize, check)`. A record that is malformed
 * traps: the host has written it. What f leaves behind is collected, but for what globals
 * hold.
 */
export function serve(len: u32, hook: Hook, f: (req: Request, out: Writer) => void): u64 {
  const req = Request.parse(scratch, len);
  if (req === null) throw new Error("malformed request");
  const out = Writer.start(writer, result, RESULT_BYTES, <u16>hook);
  f(req, out);
  const at = out.finish();
  __collect();
  return (<u64>at << 32) | out.length;
}
