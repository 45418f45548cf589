//! The clocks of this node: the wall clock, as the timestamps of the API, and the steady one of connections' tasks.

mod turn;

use std::time::SystemTime;

use ollamaflow_protocol::time::Timestamp;

pub use self::turn::{Turns, since, turn};

/// The present. A clock before 1970 reads as 1970.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
