//! A virtual key: what a client shows to be let in, and what it may do with it.
//!
//! The secret itself is in no object. A key holds its SHA-256: secrets are made of 256 random bits, so that no list of
//! guesses leads back from the hash, and a slow, salted hash, which is for what people can remember, would only make
//! requests slow. For the same reason the hash may be shown and exported.

mod scope;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use utoipa::ToSchema;

use super::lenient::{self, ObjectError, Parsed};
use super::path::JsonPath;
use super::validate::{INT_MAX, between, ignored};
use crate::id::{FrontendId, IdError, KeyId};
use crate::models::inventory::MAX_NAME;
use crate::route::{Kind, Operation};
use crate::time::Timestamp;
use crate::token_hash::TokenHash;

pub use self::scope::ModelScope;

/// Most virtual keys of a cluster: each has some series of metrics, and counts of its own on every node.
pub const MAX_KEYS: usize = 2000;

/// Most names in one list of a key.
const MAX_LISTED: usize = 256;

// The order of the fields is the order of the JSON properties, and their comments are in the description of the API.
/// What a client shows to be let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", default = "unnamed")]
pub struct Key {
    /// Unique, case-sensitive name. It stands for the key in logs, metrics and usage, so it is no secret.
    pub identifier: KeyId,
    /// Text for people.
    pub name: String,
    /// Whether it lets anybody in.
    pub active: bool,
    /// SHA-256 of the secret. `None` only until the key is stored.
    pub hash: Option<TokenHash>,
    /// The frontends that take it; all, if there are none. One that does not exist any more lets nobody in.
    #[serde(deserialize_with = "frontends")]
    pub frontends: Vec<FrontendId>,
    /// The models that it is for, as names with `*` for any text; all, if there are none.
    #[serde(deserialize_with = "models")]
    pub models: Vec<String>,
    /// The kinds of requests that it is for; all, if there are none.
    #[serde(deserialize_with = "operations")]
    pub operations: Vec<KeyOperation>,
    /// When it stops to let anybody in; none for never.
    pub expires_utc: Option<Timestamp>,
    /// Requests per minute that one node takes, with bursts of as many; 0 for no limit.
    #[serde(deserialize_with = "between::<0, INT_MAX, _, _>")]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub requests_per_minute: u32,
    /// Tokens per minute, of prompts and of answers, that one node gives; 0 for no limit.
    #[serde(deserialize_with = "between::<0, INT_MAX, _, _>")]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub tokens_per_minute: u32,
    /// Requests in flight at a time on one node; 0 for no limit.
    #[serde(deserialize_with = "between::<0, INT_MAX, _, _>")]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub max_parallel_requests: u32,
    /// When the key was created; 1970 until it is stamped.
    pub created_utc: Timestamp,
    /// When the key was last changed; 1970 until it is stamped.
    pub last_update_utc: Timestamp,
    /// The revision of the cluster's state at which the key was last changed; 0 before it is stored. Output only.
    #[serde(deserialize_with = "ignored")]
    pub revision: u64,
}

/// A kind of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum KeyOperation {
    /// Chats and generations of text, in any API.
    Completions,
    /// Vectors of texts.
    Embeddings,
    /// Speech to text.
    Transcriptions,
    /// What models there are, what they are like, and how many tokens a prompt has.
    Models,
    /// Pulling, pushing, creating, copying and deleting models. The frontend must allow it, too.
    Management,
    /// Paths that are passed on without being known.
    Other,
}

// === Key ===

/// Without a name: what the schema of the API description takes the defaults of properties from.
impl Default for Key {
    fn default() -> Self {
        unnamed()
    }
}

impl Key {
    /// A key with the default of every other property: it is for everything, without limits.
    pub fn new(identifier: KeyId) -> Self {
        Self {
            identifier,
            name: String::new(),
            active: true,
            hash: None,
            frontends: Vec::new(),
            models: Vec::new(),
            operations: Vec::new(),
            expires_utc: None,
            requests_per_minute: 0,
            tokens_per_minute: 0,
            max_parallel_requests: 0,
            created_utc: Timestamp::EPOCH,
            last_update_utc: Timestamp::EPOCH,
            revision: 0,
        }
    }

    /// Reads the body of a create: absent properties take their defaults, absent times become `now`.
    pub fn from_json(text: &[u8], now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        Self::from_value(&super::parse(text)?, now)
    }

    /// Reads a key from JSON that is parsed already, see [`Key::from_json`].
    pub fn from_value(value: &Value, now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        let mut parsed: Parsed<Self> = lenient::read(value)?;
        let key = &mut parsed.value;
        if key.identifier.is_unset() {
            return Err(ObjectError::new(
                JsonPath::root().property("Identifier"),
                IdError::Empty.to_string(),
            ));
        }
        for time in [&mut key.created_utc, &mut key.last_update_utc] {
            if *time == Timestamp::EPOCH {
                *time = now;
            }
        }
        Ok(parsed)
    }

    /// Takes the hash of `stored` if it has none of its own.
    ///
    /// # Errors
    /// There is none either.
    pub fn resolve_hash(&mut self, stored: Option<&Self>) -> Result<(), ObjectError> {
        self.hash = self.hash.or_else(|| stored.and_then(|stored| stored.hash));
        if self.hash.is_some() {
            return Ok(());
        }
        let why = "must be the SHA-256 of the secret, since there is no such key yet: PUT /v1.0/keys makes one with its secret";
        Err(ObjectError::new(JsonPath::root().property("Hash"), why.to_owned()))
    }

    /// Whether it has stopped to let anybody in.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_utc.is_some_and(|at| at <= now)
    }

    /// Whether the frontend takes it.
    pub fn is_for_frontend(&self, frontend: &FrontendId) -> bool {
        self.frontends.is_empty() || self.frontends.contains(frontend)
    }

    /// Whether it is for such requests.
    pub fn is_for_operation(&self, operation: Operation) -> bool {
        self.operations.is_empty() || self.operations.contains(&KeyOperation::of(operation))
    }
}

/// The defaults that reading starts from.
pub(super) fn unnamed() -> Key {
    Key::new(KeyId::unset())
}

// === KeyOperation ===

impl KeyOperation {
    /// The kind of an operation of the route table.
    pub fn of(operation: Operation) -> Self {
        match operation.kind() {
            Kind::Completions => return Self::Completions,
            Kind::Embeddings => return Self::Embeddings,
            Kind::Other => {}
        }
        match operation {
            Operation::OpenAiTranscription => Self::Transcriptions,
            Operation::OllamaTags
            | Operation::OllamaPs
            | Operation::OllamaShow
            | Operation::OllamaVersion
            | Operation::OpenAiModels
            | Operation::OpenAiModel
            | Operation::AnthropicCountTokens => Self::Models,
            Operation::OllamaPull
            | Operation::OllamaPush
            | Operation::OllamaCreate
            | Operation::OllamaCopy
            | Operation::OllamaDelete
            | Operation::OllamaBlob => Self::Management,
            _ => Self::Other,
        }
    }

    /// What requests of the kind are called in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Transcriptions => "transcriptions",
            Self::Models => "reads about models",
            Self::Management => "changes of models",
            Self::Other => "requests of this kind",
        }
    }
}

// === rules ===

fn bounded<E: de::Error, T>(list: Vec<T>) -> Result<Vec<T>, E> {
    if list.len() > MAX_LISTED {
        return Err(E::custom(format_args!("must have at most {MAX_LISTED} entries")));
    }
    Ok(list)
}

fn frontends<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<FrontendId>, D::Error> {
    bounded(Vec::deserialize(deserializer)?)
}

fn operations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<KeyOperation>, D::Error> {
    bounded(Vec::deserialize(deserializer)?)
}

fn models<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names: Vec<String> = bounded(Vec::deserialize(deserializer)?)?;
    let is_bad =
        |name: &String| name.trim().is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control);
    if names.iter().any(is_bad) {
        return Err(de::Error::custom(format_args!(
            "must have names of models, with * for any text, of at most {MAX_NAME} bytes each"
        )));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Key, String> {
        let mut value = value;
        value["Identifier"] = json!("k1");
        Key::from_value(&value, Timestamp::from_micros(7))
            .map(|parsed| parsed.value)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_without_properties_is_for_everything() {
        let key = read(json!({})).unwrap();
        assert!(key.active && key.hash.is_none() && key.created_utc == Timestamp::from_micros(7));
        assert!(key.is_for_frontend(&"f".parse().unwrap()));
        assert!(key.is_for_operation(Operation::OllamaDelete) && !key.has_expired(Timestamp::EPOCH));
        assert!(ModelScope::of(&key.models).is_none());
    }

    #[test]
    fn rules_are_told_with_their_property() {
        for (body, part) in [
            (json!({ "Models": [" "] }), "Models"),
            (json!({ "Models": vec!["m"; MAX_LISTED + 1] }), "at most 256"),
            (json!({ "Operations": ["Cooking"] }), "Operations"),
            (json!({ "RequestsPerMinute": -1 }), "RequestsPerMinute"),
            (json!({ "Hash": "12" }), "64 hexadecimal"),
            (json!({ "ExpiresUtc": "soon" }), "ExpiresUtc"),
            (json!({ "Frontends": ["a b"] }), "Frontends"),
        ] {
            let told = read(body.clone()).unwrap_err();
            assert!(told.contains(part), "{body}: {told}");
        }
        assert!(Key::from_json(b"{}", Timestamp::EPOCH).is_err());
    }

    #[test]
    fn it_ends_at_its_time_and_is_for_what_it_names() {
        let key = read(json!({
            "ExpiresUtc": "1970-01-01T00:00:01Z", "Frontends": ["f1"], "Operations": ["embeddings", "Models"]
        }))
        .unwrap();
        assert!(!key.has_expired(Timestamp::from_micros(999_999)));
        assert!(key.has_expired(Timestamp::from_micros(1_000_000)));
        assert!(key.is_for_frontend(&"f1".parse().unwrap()) && !key.is_for_frontend(&"f2".parse().unwrap()));
        for (operation, expected) in [
            (Operation::OllamaEmbed, true),
            (Operation::OpenAiModels, true),
            (Operation::OllamaChat, false),
            (Operation::OllamaPull, false),
            (Operation::OpenAiOther, false),
        ] {
            assert_eq!(key.is_for_operation(operation), expected, "{operation:?}");
        }
    }

    #[test]
    fn a_hash_that_is_not_sent_is_the_stored_one() {
        let stored = Key { hash: Some(TokenHash::new([7; 32])), ..read(json!({})).unwrap() };
        let mut sent = read(json!({})).unwrap();
        assert!(sent.clone().resolve_hash(None).is_err());
        sent.resolve_hash(Some(&stored)).unwrap();
        assert_eq!(sent.hash, stored.hash);
    }
}
