//! Bytes in JSON: text where they are UTF-8, base64 where not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// A body as shown by echo and the request ring: `{"text":..}` or `{"base64":..}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Payload {
    Text(String),
    Base64(String),
}

impl Payload {
    pub(super) fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(to_base64(bytes)),
        }
    }
}

pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Nothing when it is not base64.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
