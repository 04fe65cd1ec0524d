use crate::{Request, Writer};
use core::cell::UnsafeCell;

/// The longest request record, and the longest result: what `wg_scratch` tells the host.
const SCRATCH: usize = 320 << 10;
const RESULT: usize = 64 << 10;

struct Area<const N: usize>(UnsafeCell<[u8; N]>);
// SAFETY: a guest has one thread, and the host calls one hook at a time.
unsafe impl<const N: usize> Sync for Area<N> {}

static REQUEST_AREA: Area<SCRATCH> = Area(UnsafeCell::new([0; SCRATCH]));
static RESULT_AREA: Area<RESULT> = Area(UnsafeCell::new([0; RESULT]));

pub fn scratch() -> u64 {
    (REQUEST_AREA.0.get() as usize as u64) << 32 | SCRATCH as u64
}

/// Runs one hook. A record that is malformed traps: the host has written it.
pub fn call(len: u32, hook: u16, f: fn(&Request, &mut Writer)) -> u64 {
    // SAFETY: the host does not touch either area before the hook has returned.
    let (record, room) = unsafe { (&*REQUEST_AREA.0.get(), &mut *RESULT_AREA.0.get()) };
    let request = Request::parse(&record[..len as usize]).expect("malformed request");
    let mut out = Writer::new(room, hook);
    f(&request, &mut out);
    let result = out.finish();
    (result.as_ptr() as usize as u64) << 32 | result.len() as u64
}
