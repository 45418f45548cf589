//! The stored form of objects: what the log, the snapshots and full backups hold.
//!
//! It differs from the form of the admin API in two ways. Secrets are in it, in clear; and reading it applies no
//! rules, so that an object stays readable when a later version tightens one. Names and order of the properties
//! are the API's. Both forms list every field of the object: forgetting one does not compile.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::backend::Backend;
use super::format::{ApiFormat, BackendState, HealthCheckMethod, LoadBalancing};
use super::frontend::Frontend;
use super::key::{Key, KeyOperation};
use super::secret::Secret;
use crate::id::{BackendId, FrontendId, KeyId};
use crate::models::ModelAliases;
use crate::time::Timestamp;
use crate::token_hash::TokenHash;

/// An object in its stored form. **Serialising this shows secrets**: it is for disks and peers, never for an
/// answer, a log line or an error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exposed<T>(pub T);

/// An object that has a stored form, or a container of such.
pub trait Record: Sized {
    /// Writes the stored form.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads the stored form; absent properties take their defaults.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Stored form of a [`Backend`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Backend", rename_all = "PascalCase", default = "super::backend::unnamed")]
struct BackendRecord {
    identifier: BackendId,
    name: String,
    hostname: String,
    port: u16,
    ssl: bool,
    verify_tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_certificate: Option<String>,
    #[serde(serialize_with = "exposed_option", skip_serializing_if = "Option::is_none")]
    tls_key: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_server_name: Option<String>,
    unhealthy_threshold: u32,
    healthy_threshold: u32,
    health_check_method: HealthCheckMethod,
    health_check_url: String,
    max_parallel_requests: u32,
    rate_limit_requests_threshold: u32,
    priority: u16,
    weight: u16,
    circuit_breaker_error_percent: u8,
    circuit_breaker_minimum_requests: u32,
    circuit_breaker_window_ms: u32,
    circuit_breaker_connect_failures: u32,
    circuit_breaker_open_ms: u32,
    log_request_full: bool,
    log_request_body: bool,
    log_response_body: bool,
    api_format: ApiFormat,
    labels: Vec<String>,
    pinned_embeddings_properties: Map<String, Value>,
    pinned_completions_properties: Map<String, Value>,
    allow_embeddings: bool,
    allow_completions: bool,
    #[serde(serialize_with = "exposed_option", skip_serializing_if = "Option::is_none")]
    bearer_token: Option<Secret>,
    #[serde(serialize_with = "exposed_option", skip_serializing_if = "Option::is_none")]
    querystring: Option<Secret>,
    #[serde(serialize_with = "exposed_values")]
    headers: BTreeMap<String, Secret>,
    active: bool,
    state: BackendState,
    created_utc: Timestamp,
    last_update_utc: Timestamp,
    revision: u64,
}

/// Stored form of a [`Frontend`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Frontend", rename_all = "PascalCase", default = "super::frontend::unnamed")]
struct FrontendRecord {
    identifier: FrontendId,
    name: String,
    hostname: String,
    timeout_ms: u32,
    stream_idle_timeout_ms: u32,
    load_balancing: LoadBalancing,
    max_queue_length: u32,
    queue_timeout_ms: u32,
    affinity_wait_ms: u32,
    rate_limit_per_client: u32,
    require_key: bool,
    block_http10: bool,
    max_request_body_size: u64,
    backends: Vec<BackendId>,
    required_models: Vec<String>,
    preload_models: Vec<String>,
    forbidden_models: Vec<String>,
    delete_forbidden_models: bool,
    model_aliases: ModelAliases,
    default_model: Option<String>,
    allow_model_management: Option<bool>,
    log_request_full: bool,
    log_request_body: bool,
    log_response_body: bool,
    use_sticky_sessions: bool,
    sticky_session_expiration_ms: u32,
    pinned_embeddings_properties: Map<String, Value>,
    pinned_completions_properties: Map<String, Value>,
    allow_embeddings: bool,
    allow_completions: bool,
    allow_retries: bool,
    max_attempts: u32,
    retry_budget_percent: u32,
    resume_streams: bool,
    hedge_embeddings: bool,
    allow_image_urls: bool,
    active: bool,
    created_utc: Timestamp,
    last_update_utc: Timestamp,
    revision: u64,
}

/// Stored form of a [`Key`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Key", rename_all = "PascalCase", default = "super::key::unnamed")]
struct KeyRecord {
    identifier: KeyId,
    name: String,
    active: bool,
    hash: Option<TokenHash>,
    frontends: Vec<FrontendId>,
    models: Vec<String>,
    operations: Vec<KeyOperation>,
    expires_utc: Option<Timestamp>,
    requests_per_minute: u32,
    tokens_per_minute: u32,
    max_parallel_requests: u32,
    created_utc: Timestamp,
    last_update_utc: Timestamp,
    revision: u64,
}

// === Record ===

impl Record for Backend {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BackendRecord::serialize(self, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut backend = BackendRecord::deserialize(deserializer)?;
        // Records of a version that knew no states.
        if !backend.active {
            backend.state = BackendState::Disabled;
        }
        Ok(backend)
    }
}

impl Record for Frontend {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FrontendRecord::serialize(self, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        FrontendRecord::deserialize(deserializer)
    }
}

impl Record for Key {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        KeyRecord::serialize(self, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        KeyRecord::deserialize(deserializer)
    }
}

impl<T: Record> Record for Box<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::write(self, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self::new)
    }
}

impl<T: Record> Record for Arc<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::write(self, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self::new)
    }
}

impl<T: Record> Record for Option<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Exposed).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Exposed<T>>::deserialize(deserializer)?.map(|Exposed(object)| object))
    }
}

impl<T: Record> Record for Vec<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Exposed))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let objects = Vec::<Exposed<T>>::deserialize(deserializer)?;
        Ok(objects.into_iter().map(|Exposed(object)| object).collect())
    }
}

// === Exposed ===

impl<T: Record> Serialize for Exposed<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl<'de, T: Record> Deserialize<'de> for Exposed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

// === fields ===

/// Writes a field in its stored form: `#[serde(with = "record")]`.
pub(crate) fn serialize<T: Record, S: Serializer>(object: &T, serializer: S) -> Result<S::Ok, S::Error> {
    object.write(serializer)
}

/// Reads a field in its stored form.
pub(crate) fn deserialize<'de, T: Record, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::read(deserializer)
}

// === secrets ===

#[expect(clippy::ref_option, reason = "the signature that serde's `serialize_with` calls")]
fn exposed_option<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}

fn exposed_values<S: Serializer>(
    secrets: &BTreeMap<String, Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(secrets.iter().map(|(name, secret)| (name, secret.expose())))
}

#[cfg(test)]
mod tests;
