//! Text that must never reach a log, an error or an API answer.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// A token, password or header value. `Debug`, `Display` and serialisation show [`Secret::REDACTED`] only.
#[derive(Clone, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, description = "Shown as `********`; sent back like that, the stored one stays.")]
pub struct Secret(String);

// === Secret ===

impl Secret {
    /// What stands in for every secret on output.
    pub const REDACTED: &'static str = "********";

    /// Wraps the text of a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is the redaction mark, that is: a client sent back what it had read.
    pub fn is_redaction_mark(&self) -> bool {
        self.0 == Self::REDACTED
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Self::REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Self::REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rendering_shows_the_secret() {
        let secret = Secret::new("hunter2");
        for rendering in [format!("{secret}"), format!("{secret:?}"), serde_json::to_string(&secret).unwrap()]
        {
            assert!(!rendering.contains("hunter2"), "{rendering}");
            assert!(rendering.contains(Secret::REDACTED));
        }
        assert_eq!(secret.expose(), "hunter2");
    }
}
