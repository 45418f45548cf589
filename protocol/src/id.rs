//! Names of frontends, backends, clusters, admin tokens and virtual keys as they appear in URLs, in the catalog and in headers.
//!
//! In: text from a request path, a JSON body or the settings file. Out: cheap-to-clone, always valid ids.
//! Knows nothing about the objects that carry the ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use utoipa::ToSchema;

/// Longest accepted id, in bytes: keeps ids usable as path segment, header value and log field.
pub const MAX_ID_LENGTH: usize = 128;

/// The path segment that `GET /v1.0/backends/health` occupies; an object of that name could never be read.
const RESERVED_ID: &str = "health";

/// Identifier of a backend: 1 to 128 characters of `A-Z a-z 0-9 . _ ~ -`, never `health`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._~-]+$")]
pub struct BackendId(Arc<str>);

/// Identifier of a frontend: 1 to 128 characters of `A-Z a-z 0-9 . _ ~ -`, never `health`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._~-]+$")]
pub struct FrontendId(Arc<str>);

/// Name of a cluster, fixed at its birth; the same rules.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._~-]+$")]
pub struct ClusterId(Arc<str>);

/// Name of an admin token; the same rules. It stands for the token in the history, so it is no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._~-]+$")]
pub struct TokenName(Arc<str>);

/// Identifier of a virtual key; the same rules. It stands for the key wherever that is told of, so it is no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._~-]+$")]
pub struct KeyId(Arc<str>);

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// The text is empty or absent.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than [`MAX_ID_LENGTH`]; the value is its length.
    #[error("must be at most {MAX_ID_LENGTH} characters long, but has {0}")]
    TooLong(usize),
    /// The text contains a character outside the allowed set.
    #[error("may only contain letters, digits and the characters . _ ~ - (found {0:?})")]
    Character(char),
    /// The text is the path of the health endpoint.
    #[error("must not be `{RESERVED_ID}`: that name is reserved for the health endpoint")]
    Reserved,
}

// === rules ===

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    // The characters that RFC 3986 (section 2.3) calls unreserved: they need no escape anywhere in a URL.
    let unreserved = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-');
    if let Some(bad) = text.chars().find(|c| !unreserved(*c)) {
        return Err(IdError::Character(bad));
    }
    if text.len() > MAX_ID_LENGTH {
        return Err(IdError::TooLong(text.len()));
    }
    if text == RESERVED_ID {
        return Err(IdError::Reserved);
    }
    Ok(())
}

macro_rules! id_type {
    ($name:ident) => {
        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;

            fn try_from(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(Arc::from(text)))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::try_from(text.as_str()).map_err(de::Error::custom)
            }
        }
    };
}

macro_rules! placeholder {
    ($name:ident) => {
        impl $name {
            /// Placeholder while an object is read whose id is not known yet.
            pub(crate) fn unset() -> Self {
                Self(Arc::from(""))
            }

            /// Whether this is the placeholder of an object without an id.
            pub(crate) fn is_unset(&self) -> bool {
                self.0.is_empty()
            }
        }
    };
}

id_type!(BackendId);
id_type!(FrontendId);
id_type!(ClusterId);
id_type!(TokenName);
id_type!(KeyId);
placeholder!(BackendId);
placeholder!(FrontendId);
placeholder!(KeyId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_rule_is_named_by_its_own_error() {
        assert_eq!(BackendId::try_from(""), Err(IdError::Empty));
        assert_eq!(BackendId::try_from("a b"), Err(IdError::Character(' ')));
        assert_eq!(BackendId::try_from("a/b"), Err(IdError::Character('/')));
        assert_eq!(FrontendId::try_from("health"), Err(IdError::Reserved));
        assert_eq!(FrontendId::try_from("é"), Err(IdError::Character('é')));
        assert_eq!(BackendId::try_from("x".repeat(129).as_str()), Err(IdError::TooLong(129)));
        assert!(BackendId::try_from("x".repeat(128).as_str()).is_ok());
        assert!(BackendId::try_from("Health").is_ok(), "ids are case-sensitive");
    }

    proptest! {
        #[test]
        fn a_valid_id_survives_text_and_json(text in "[A-Za-z0-9._~-]{1,128}") {
            prop_assume!(text != "health");
            let id: BackendId = text.parse().unwrap();
            prop_assert_eq!(id.to_string(), text.clone());
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<BackendId>(&json).unwrap(), id);
        }

        #[test]
        fn any_text_is_accepted_exactly_when_the_rule_says_so(text in "\\PC{0,140}") {
            let allowed = !text.is_empty()
                && text.len() <= 128
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
                && text != "health";
            prop_assert_eq!(FrontendId::try_from(text.as_str()).is_ok(), allowed);
        }
    }
}
