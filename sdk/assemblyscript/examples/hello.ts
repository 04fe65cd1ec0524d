// Hello is an authorizer: it lets in who sends x-token: let-me-in.

import { Hook, Request, Result, Writer, serve } from "../assembly";
export { wg_abi_v1, wg_scratch } from "../assembly";

export function wg_authorize(len: u32): u64 {
  return serve(len, Hook.Authorize, check);
}

function check(req: Request, out: Writer): void {
  if (req.header("x-token") == "let-me-in") out.allow().text(Result.Principal, "friend");
  else out.deny();
}
