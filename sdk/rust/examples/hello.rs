//! Hello is an authorizer: it lets in who sends x-token: let-me-in.

use wasmgate::{abi::result, Request, Writer};

wasmgate::plugin! { authorize => check }

fn check(req: &Request, out: &mut Writer) {
    if req.header("x-token") == Some(b"let-me-in") {
        out.allow().bytes(result::PRINCIPAL, "friend");
    } else {
        out.deny();
    }
}
