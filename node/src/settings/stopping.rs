//! Settings of how a node stops. They stand at the top level of the settings.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Settings;

/// Longest times that can be set: an hour, in milliseconds.
pub(super) const LONGEST_MS: i64 = 3_600_000;

/// How long a node with peers goes on accepting after its readiness has begun to fail: whoever checks it each half second
/// has sent new clients elsewhere by then.
const SETTLE_WITH_PEERS: Duration = Duration::from_secs(1);

// === impl Settings ===

impl Settings {
    /// How long requests in flight may go on after the listeners closed.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.shutdown_grace_ms.into())
    }

    /// How long the listeners stay open after readiness has begun to fail. A node without peers has nobody who could
    /// take over its clients meanwhile.
    pub fn shutdown_settle(&self, has_peers: bool) -> Duration {
        match self.shutdown_settle_ms {
            Some(ms) => Duration::from_millis(ms.into()),
            None if has_peers => SETTLE_WITH_PEERS,
            None => Duration::ZERO,
        }
    }
}

// === rules ===

/// A number that may be absent; an empty text is absent too, and a variable's text is a number if it reads as one.
pub(super) fn settle<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse::<i64>().ok(),
        Value::Number(number) => number.as_i64(),
        _ => None,
    };
    let number = number.filter(|number| (0..=LONGEST_MS).contains(number));
    let number = number.and_then(|number| u32::try_from(number).ok());
    number.map(Some).ok_or_else(|| {
        Error::custom(format_args!("must be a whole number from 0 to {LONGEST_MS}, or absent"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_with_peers_settles_for_a_second_unless_told_otherwise() {
        let settings = |shutdown_settle_ms| Settings { shutdown_settle_ms, ..Settings::default() };
        assert_eq!(settings(None).shutdown_settle(true), Duration::from_secs(1));
        assert_eq!(settings(None).shutdown_settle(false), Duration::ZERO);
        for has_peers in [true, false] {
            assert_eq!(settings(Some(0)).shutdown_settle(has_peers), Duration::ZERO);
            assert_eq!(settings(Some(250)).shutdown_settle(has_peers), Duration::from_millis(250));
        }
        assert_eq!(settings(None).shutdown_grace(), Duration::from_secs(30));
    }
}
