//! Admin tokens: named, and known by their hash only.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::id::TokenName;
use crate::time::Timestamp;

pub use crate::token_hash::{TokenHash, TokenHashError};

/// Most admin tokens of a cluster: each request is compared with all of them.
pub const MAX_TOKENS: usize = 256;

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
