//! A frontend: one virtual server, chosen by the host name of the request.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::format::LoadBalancing;
use super::lenient::{self, ObjectError, Parsed};
use super::path::JsonPath;
use super::validate::{INT_MAX, between, host_name, ignored, pinned};
use crate::id::{BackendId, FrontendId, IdError};
use crate::models::{ModelAliases, default_model, model_names, required_models};
use crate::time::Timestamp;

// The order of the fields is the order of the JSON properties, and their comments are in the description of the API.
/// One virtual server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", default = "unnamed")]
pub struct Frontend {
    /// Unique, case-sensitive name.
    pub identifier: FrontendId,
    /// Text for people.
    pub name: String,
    /// Host name that requests must carry; `*` for any.
    #[serde(deserialize_with = "host_name")]
    pub hostname: String,
    /// Longest wait for the head of an answer, in milliseconds; 0 for no limit.
    #[serde(deserialize_with = "between::<0, INT_MAX, _, _>")]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub timeout_ms: u32,
    /// Longest silence between two pieces of an answer, in milliseconds; 0 for no limit.
    #[serde(deserialize_with = "between::<0, INT_MAX, _, _>")]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub stream_idle_timeout_ms: u32,
    /// How to choose among the available backends.
    pub load_balancing: LoadBalancing,
    /// Requests that may wait on one node for a free backend; 0 for none.
    #[serde(deserialize_with = "between::<0, 10_000, _, _>")]
    #[schema(minimum = 0, maximum = 10_000)]
    pub max_queue_length: u32,
    /// Longest time that a request may wait for a free backend, in milliseconds.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub queue_timeout_ms: u32,
    /// How long a request waits for the backend that suits it best (model in memory, conversation in the cache)
    /// before it goes to any other free one, in milliseconds; part of the queue time.
    #[serde(deserialize_with = "between::<0, INT_MAX, _, _>")]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub affinity_wait_ms: u32,
    /// Requests per second that one node takes from one client, with bursts of as many; 0 for no limit.
    #[serde(deserialize_with = "between::<0, INT_MAX, _, _>")]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub rate_limit_per_client: u32,
    /// Whether only clients with a virtual key are served.
    pub require_key: bool,
    /// Whether to refuse HTTP/1.0 requests.
    pub block_http10: bool,
    /// Largest request body, in bytes.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub max_request_body_size: u64,
    /// The backends to use, in order.
    pub backends: Vec<BackendId>,
    /// Models that each Ollama backend of this frontend is to have.
    #[serde(deserialize_with = "required_models")]
    pub required_models: Vec<String>,
    /// Models that each Ollama backend of this frontend is to have in its memory, and therefore on its disk.
    #[serde(deserialize_with = "model_names")]
    pub preload_models: Vec<String>,
    /// Models that no backend of this frontend is to have.
    #[serde(deserialize_with = "model_names")]
    pub forbidden_models: Vec<String>,
    /// Whether forbidden models are deleted; otherwise they are only told of.
    pub delete_forbidden_models: bool,
    /// Other names for models.
    pub model_aliases: ModelAliases,
    /// The model of requests that name none.
    #[serde(deserialize_with = "default_model")]
    pub default_model: Option<String>,
    /// Whether clients may pull, delete, copy, create, push, load and unload models. `None` means that they may if the
    /// node listens on the loopback only.
    pub allow_model_management: Option<bool>,
    /// Log every detail of requests to this frontend.
    pub log_request_full: bool,
    /// Log request bodies.
    pub log_request_body: bool,
    /// Log response bodies.
    pub log_response_body: bool,
    /// Whether a client stays on the backend that served it first.
    pub use_sticky_sessions: bool,
    /// How long a session lasts after its last request, in milliseconds.
    #[serde(deserialize_with = "between::<10_000, 86_400_000, _, _>")]
    #[schema(minimum = 10_000, maximum = 86_400_000)]
    pub sticky_session_expiration_ms: u32,
    /// Properties forced into the body of every embeddings request.
    #[serde(deserialize_with = "pinned")]
    #[schema(value_type = Object)]
    pub pinned_embeddings_properties: Map<String, Value>,
    /// Properties forced into the body of every completions request.
    #[serde(deserialize_with = "pinned")]
    #[schema(value_type = Object)]
    pub pinned_completions_properties: Map<String, Value>,
    /// Whether embeddings requests are served.
    pub allow_embeddings: bool,
    /// Whether completions requests are served.
    pub allow_completions: bool,
    /// Whether a failed attempt may be repeated at another backend.
    pub allow_retries: bool,
    /// Backends that one request may try, the first included.
    #[serde(deserialize_with = "between::<1, 100, _, _>")]
    #[schema(minimum = 1, maximum = 100)]
    pub max_attempts: u32,
    /// Retries in percent of the requests, so that an outage is not amplified; 0 for none.
    #[serde(deserialize_with = "between::<0, 1000, _, _>")]
    #[schema(minimum = 0, maximum = 1000)]
    pub retry_budget_percent: u32,
    /// Whether a chat or generation whose backend dies goes on at another one.
    pub resume_streams: bool,
    /// Whether an embeddings request that is slower than 95 % of them gets a second chance at another backend.
    pub hedge_embeddings: bool,
    /// Whether images that a request names by URL are fetched, for backends that take none by URL.
    pub allow_image_urls: bool,
    /// Whether the frontend takes part at all.
    pub active: bool,
    /// When the frontend was created; 1970 until it is stamped.
    pub created_utc: Timestamp,
    /// When the frontend was last changed; 1970 until it is stamped.
    pub last_update_utc: Timestamp,
    /// The revision of the cluster's state at which the frontend was last changed; 0 before it is stored. Output
    /// only: input may carry it, and is not heeded.
    #[serde(deserialize_with = "ignored")]
    pub revision: u64,
}

// === Frontend ===

/// Without a name: what the schema of the API description takes the defaults of properties from.
impl Default for Frontend {
    fn default() -> Self {
        unnamed()
    }
}

impl Frontend {
    /// A frontend with the default of every other property.
    pub fn new(identifier: FrontendId) -> Self {
        Self {
            identifier,
            name: String::new(),
            hostname: "*".to_owned(),
            timeout_ms: 60_000,
            stream_idle_timeout_ms: 120_000,
            load_balancing: LoadBalancing::RoundRobin,
            max_queue_length: 512,
            queue_timeout_ms: 60_000,
            affinity_wait_ms: 3_000,
            rate_limit_per_client: 0,
            require_key: false,
            block_http10: true,
            max_request_body_size: 536_870_912,
            backends: Vec::new(),
            required_models: Vec::new(),
            preload_models: Vec::new(),
            forbidden_models: Vec::new(),
            delete_forbidden_models: false,
            model_aliases: ModelAliases::default(),
            default_model: None,
            allow_model_management: None,
            log_request_full: false,
            log_request_body: false,
            log_response_body: false,
            use_sticky_sessions: false,
            sticky_session_expiration_ms: 1_800_000,
            pinned_embeddings_properties: Map::new(),
            pinned_completions_properties: Map::new(),
            allow_embeddings: true,
            allow_completions: true,
            allow_retries: true,
            max_attempts: 3,
            retry_budget_percent: 10,
            resume_streams: false,
            hedge_embeddings: false,
            allow_image_urls: false,
            active: true,
            created_utc: Timestamp::EPOCH,
            last_update_utc: Timestamp::EPOCH,
            revision: 0,
        }
    }

    /// Reads the body of a create: absent properties take their defaults, absent times become `now`.
    pub fn from_json(text: &[u8], now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        Self::from_value(&super::parse(text)?, now)
    }

    /// Reads a frontend from JSON that is parsed already, see [`Frontend::from_json`].
    pub fn from_value(value: &Value, now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        lenient::read(value).and_then(|parsed| Self::finish(parsed, now))
    }

    /// Reads the body of an update: `identifier` replaces whatever the body says.
    pub fn from_json_as(
        identifier: FrontendId,
        text: &[u8],
        now: Timestamp,
    ) -> Result<Parsed<Self>, ObjectError> {
        let mut parsed: Parsed<Self> =
            lenient::read(&super::without_property(super::parse(text)?, "Identifier"))?;
        parsed.value.identifier = identifier;
        Self::finish(parsed, now)
    }

    /// Checks that the frontend has a name and stamps absent times with `now`: the last step of reading one that
    /// sat inside another document.
    pub fn complete(&mut self, now: Timestamp) -> Result<(), ObjectError> {
        if self.identifier.is_unset() {
            return Err(ObjectError::new(
                JsonPath::root().property("Identifier"),
                IdError::Empty.to_string(),
            ));
        }
        for time in [&mut self.created_utc, &mut self.last_update_utc] {
            if *time == Timestamp::EPOCH {
                *time = now;
            }
        }
        Ok(())
    }

    fn finish(mut parsed: Parsed<Self>, now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        parsed.value.complete(now)?;
        Ok(parsed)
    }
}

/// The defaults that reading starts from.
pub(super) fn unnamed() -> Frontend {
    Frontend::new(FrontendId::unset())
}
