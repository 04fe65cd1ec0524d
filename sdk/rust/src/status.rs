use crate::abi::status;

/// Why a capability did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub i32);

impl Status {
    /// In words; what is unknown is internal.
    pub fn name(self) -> &'static str {
        match self.0 {
            status::OK => "ok",
            status::NOT_FOUND => "not found",
            status::NOT_GRANTED => "not granted",
            status::BAD_ARGUMENT => "bad argument",
            status::INVALID => "invalid",
            status::UNAVAILABLE => "unavailable",
            status::TIMEOUT => "timeout",
            status::LIMIT => "limit",
            _ => "internal",
        }
    }
}
