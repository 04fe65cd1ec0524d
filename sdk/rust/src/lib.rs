//! Write Wasmgate plugins: see README.md. A plugin names its hooks in [`plugin!`]; only
//! those are exported, and only the capabilities that it calls are imported.
#![no_std]

pub mod abi;
#[cfg(target_arch = "wasm32")]
pub mod cap;
#[doc(hidden)]
pub mod guest;
mod request;
mod status;
mod writer;

pub use request::{Pairs, Request};
pub use status::Status;
pub use writer::{Bucket, Edit, Part, Writer};

/// Exports a plugin's hooks: `wasmgate::plugin! { authorize => check }`.
/// Each is a `fn(&Request, &mut Writer)`.
#[macro_export]
macro_rules! plugin {
    ($($hook:ident => $f:expr),+ $(,)?) => {
        #[no_mangle]
        pub extern "C" fn wg_abi_v1() {}
        #[no_mangle]
        pub extern "C" fn wg_scratch() -> u64 { $crate::guest::scratch() }
        $($crate::__export!($hook, $f);)+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (configure, $f:expr) => { $crate::__export!(@ wg_configure, CONFIGURE, $f); };
    (guard, $f:expr) => { $crate::__export!(@ wg_guard, GUARD, $f); };
    (authorize, $f:expr) => { $crate::__export!(@ wg_authorize, AUTHORIZE, $f); };
    (identify, $f:expr) => { $crate::__export!(@ wg_identify, IDENTIFY, $f); };
    (throttle, $f:expr) => { $crate::__export!(@ wg_throttle, THROTTLE, $f); };
    (map_request, $f:expr) => { $crate::__export!(@ wg_map_request, MAP_REQUEST, $f); };
    (cache_key, $f:expr) => { $crate::__export!(@ wg_cache_key, CACHE_KEY, $f); };
    (integrate, $f:expr) => { $crate::__export!(@ wg_integrate, INTEGRATE, $f); };
    (map_response, $f:expr) => { $crate::__export!(@ wg_map_response, MAP_RESPONSE, $f); };
    (observe, $f:expr) => { $crate::__export!(@ wg_observe, OBSERVE, $f); };
    (@ $export:ident, $id:ident, $f:expr) => {
        #[no_mangle]
        pub extern "C" fn $export(len: u32) -> u64 { $crate::guest::call(len, $crate::abi::hook::$id, $f) }
    };
}
