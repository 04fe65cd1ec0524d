//! Canary is a guest for tests: it keeps what a request says, tells the next one, and shows its memory. With
//! isolation fresh it can tell and show nothing.

use std::cell::{Cell, RefCell};
use wasmgate::{abi::result, Request, Writer};

wasmgate::plugin! { guard => tell }

thread_local! {
    static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static FIRST: Cell<u8> = const { Cell::new(0) };
}

fn tell(req: &Request, out: &mut Writer) {
    let canary = req.header("x-canary").expect("a canary").to_vec();
    if FIRST.get() != 0 {
        out.pairs(result::HEADERS, &[(b"x-first", &[FIRST.get()])]);
    }
    FIRST.set(canary[0]);
    out.allow().bytes(result::REASON, KEPT.replace(canary));
}

/// Shows a page of the memory; the length of the record is its number.
#[no_mangle]
pub extern "C" fn wg_throttle(len: u32) -> u64 {
    u64::from(len) << 48 | 1 << 16
}
