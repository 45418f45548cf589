//! Admin tokens: named, and known by their hash only.

use std::fmt;
use std::str::FromStr;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::id::TokenName;
use crate::time::Timestamp;

/// Most admin tokens of a cluster: each request is compared with all of them.
pub const MAX_TOKENS: usize = 256;

/// SHA-256 of an admin token; 64 hexadecimal digits in the log. `Debug` does not show it: a short token could be
/// guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

/// The text is not a SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("must be 64 hexadecimal digits")]
pub struct TokenHashError;

/// An admin token. Its JSON, for the admin API, leaves the hash out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name in the history.
    pub name: TokenName,
    /// What a presented token is compared with, in constant time.
    pub hash: TokenHash,
    /// When it was created.
    pub created_utc: Timestamp,
    /// When it got its present secret.
    pub last_update_utc: Timestamp,
    /// The revision at which it was last changed.
    pub revision: u64,
}

/// A token as snapshots hold it.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Token", rename_all = "PascalCase")]
struct TokenRecord {
    name: TokenName,
    hash: TokenHash,
    created_utc: Timestamp,
    last_update_utc: Timestamp,
    revision: u64,
}

/// A token in its stored form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredToken(#[serde(with = "TokenRecord")] pub(super) Token);

// === TokenHash ===

impl TokenHash {
    /// The SHA-256 of a token.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the SHA-256.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenHash(..)")
    }
}

impl FromStr for TokenHash {
    type Err = TokenHashError;

    fn from_str(text: &str) -> Result<Self, TokenHashError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| TokenHashError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

// === Token ===

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_struct("Token", 4)?;
        body.serialize_field("Name", &self.name)?;
        body.serialize_field("CreatedUtc", &self.created_utc)?;
        body.serialize_field("LastUpdateUtc", &self.last_update_utc)?;
        body.serialize_field("Revision", &self.revision)?;
        body.end()
    }
}
