//! The capabilities: each function is one import, and one power for a reviewer.

use crate::abi::{import, status};
use crate::{Request, Status};

fn done(status: i32) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(Status(status)) }
}

/// What was written to `out`. An answer that is longer is LIMIT: nothing was written.
fn filled(answer: i64, out: &[u8]) -> Result<&[u8], Status> {
    let length = usize::try_from(answer).map_err(|_| Status(answer as i32))?;
    out.get(..length).ok_or(Status(status::LIMIT))
}

// SAFETY of every call here: pointers and lengths are of slices that live during the call.

/// Writes a line to the gateway's log: 0 debug, 1 info, 2 warn, 3 error.
pub fn log(level: i32, line: &str) {
    unsafe { import::log_write(level, line.as_ptr(), line.len()) }
}

/// One outbound call, once: a record with the `http_` fields of [`crate::abi::result`], made by
/// `Writer::new(room, 0)`. Any status of the other side is an answer.
pub fn http_call<'a>(call: &[u8], out: &'a mut [u8]) -> Result<Request<'a>, Status> {
    let n = unsafe { import::http_call(call.as_ptr(), call.len(), out.as_mut_ptr(), out.len()) };
    Ok(Request::parse(filled(n, out)?).expect("malformed answer"))
}

/// Reads a stored value.
pub fn kv_get<'a>(key: &[u8], out: &'a mut [u8]) -> Result<&'a [u8], Status> {
    let n = unsafe { import::kv_get(key.as_ptr(), key.len(), out.as_mut_ptr(), out.len()) };
    filled(n, out)
}

/// Stores a value; a ttl of 0 keeps it until the host ends.
pub fn kv_set(key: &[u8], value: &[u8], ttl_ms: i64) -> Result<(), Status> {
    done(unsafe { import::kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl_ms) })
}

/// Deletes a stored value.
pub fn kv_delete(key: &[u8]) -> Result<(), Status> {
    done(unsafe { import::kv_delete(key.as_ptr(), key.len()) })
}

/// Reads a secret.
pub fn secret_get<'a>(name: &str, out: &'a mut [u8]) -> Result<&'a [u8], Status> {
    let n = unsafe { import::secret_get(name.as_ptr(), name.len(), out.as_mut_ptr(), out.len()) };
    filled(n, out)
}

/// SHA-256.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let status = unsafe { import::crypto_sha256(data.as_ptr(), data.len(), out.as_mut_ptr()) };
    assert!(status == 0, "sha256 failed");
    out
}

/// HMAC with a secret that the guest does not see.
pub fn hmac_sha256(secret: &str, data: &[u8]) -> Result<[u8; 32], Status> {
    let mut out = [0; 32];
    done(unsafe { import::crypto_hmac_sha256(secret.as_ptr(), secret.len(), data.as_ptr(), data.len(), out.as_mut_ptr()) })?;
    Ok(out)
}

/// Verifies the signature of a compact JWS against the key set at a URL.
pub fn jwks_verify(url: &str, token: &[u8]) -> Result<(), Status> {
    done(unsafe { import::jwks_verify(url.as_ptr(), url.len(), token.as_ptr(), token.len()) })
}
