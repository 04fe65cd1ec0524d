import { Status } from "./abi";

/** A status in words; what is unknown is internal. */
export function statusName(status: Status): string {
  switch (status) {
    case Status.OK: return "ok";
    case Status.NotFound: return "not found";
    case Status.NotGranted: return "not granted";
    case Status.BadArgument: return "bad argument";
    case Status.Invalid: return "invalid";
    case Status.Unavailable: return "unavailable";
    case Status.Timeout: return "timeout";
    case Status.Limit: return "limit";
  }
  return "internal";
}
