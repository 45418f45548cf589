//! A backend: one upstream server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::format::{ApiFormat, BackendState, HealthCheckMethod};
use super::lenient::{self, ObjectError, Parsed};
use super::path::JsonPath;
use super::runtime::BackendRuntime;
use super::secret::Secret;
use super::validate::{
    INT_MAX, between, headers, host_name, ignored, pem_certificates, pem_key, pinned, query_string,
    server_name, token, url_path,
};
use crate::header::is_hop_by_hop;
use crate::id::{BackendId, IdError};
use crate::time::Timestamp;

// The order of the fields is the order of the JSON properties, and their comments are in the description of the API.
/// One upstream server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase", default = "unnamed")]
pub struct Backend {
    /// Unique, case-sensitive name.
    pub identifier: BackendId,
    /// Text for people.
    pub name: String,
    /// Host name or IP address.
    #[serde(deserialize_with = "host_name")]
    pub hostname: String,
    /// TCP port.
    #[serde(deserialize_with = "between::<0, 65535, _, _>")]
    #[schema(minimum = 0, maximum = 65535)]
    pub port: u16,
    /// Whether to speak TLS to the backend.
    pub ssl: bool,
    /// Whether the certificate of a TLS backend must be valid for the operating system's roots. Switching this
    /// off lets anyone on the path read and change the traffic.
    pub verify_tls: bool,
    /// The authorities that the certificate of a TLS backend is verified by, in place of the operating system's: PEM.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "pem_certificates")]
    pub tls_ca: Option<String>,
    /// The certificate that the node shows to a TLS backend, with its chain: PEM. Together with `TlsKey`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "pem_certificates")]
    pub tls_certificate: Option<String>,
    /// The private key of that certificate: PEM.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "pem_key")]
    pub tls_key: Option<Secret>,
    /// The name that a TLS backend is asked for (SNI) and that its certificate must have, in place of
    /// `Hostname`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "server_name")]
    pub tls_server_name: Option<String>,
    /// Consecutive failed checks after which a healthy backend is taken out.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub unhealthy_threshold: u32,
    /// Consecutive good checks after which an unhealthy backend is taken in.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub healthy_threshold: u32,
    /// Method of the health check.
    pub health_check_method: HealthCheckMethod,
    /// Path of the health check, starting with `/`.
    #[serde(deserialize_with = "url_path")]
    pub health_check_url: String,
    /// Requests that one node may have in flight here at once: a hard cap.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub max_parallel_requests: u32,
    /// Requests per second that one node sends here, with bursts of as many; 0 for no limit.
    #[serde(deserialize_with = "between::<0, INT_MAX, _, _>")]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub rate_limit_requests_threshold: u32,
    /// The tier: backends of a higher number get requests only when all of the lower numbers are down or full, as
    /// in DNS SRV records (RFC 2782).
    #[serde(deserialize_with = "between::<0, 65535, _, _>")]
    #[schema(minimum = 0, maximum = 65535)]
    pub priority: u16,
    /// The share of requests relative to that of others, for `Weighted` and for hashing.
    #[serde(deserialize_with = "between::<1, 65535, _, _>")]
    #[schema(minimum = 1, maximum = 65535)]
    pub weight: u16,
    /// Failed requests among those of the window, in percent, from which the circuit opens; 0 for never.
    #[serde(deserialize_with = "between::<0, 100, _, _>")]
    #[schema(minimum = 0, maximum = 100)]
    pub circuit_breaker_error_percent: u8,
    /// Requests that the window must hold before their ratio counts.
    #[serde(deserialize_with = "between::<1, INT_MAX, _, _>")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub circuit_breaker_minimum_requests: u32,
    /// Length of the window, in milliseconds.
    #[serde(deserialize_with = "between::<1000, 3_600_000, _, _>")]
    #[schema(minimum = 1000, maximum = 3_600_000)]
    pub circuit_breaker_window_ms: u32,
    /// Consecutive failed connections that open the circuit; 0 for never.
    #[serde(deserialize_with = "between::<0, INT_MAX, _, _>")]
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub circuit_breaker_connect_failures: u32,
    /// How long the circuit stays open before one request is let through as a trial, in milliseconds.
    #[serde(deserialize_with = "between::<10, 3_600_000, _, _>")]
    #[schema(minimum = 10, maximum = 3_600_000)]
    pub circuit_breaker_open_ms: u32,
    /// Log every detail of requests to this backend.
    pub log_request_full: bool,
    /// Log request bodies.
    pub log_request_body: bool,
    /// Log response bodies.
    pub log_response_body: bool,
    /// The API the backend speaks.
    pub api_format: ApiFormat,
    /// Labels that requests can ask for.
    pub labels: Vec<String>,
    /// Properties forced into the body of every embeddings request.
    #[serde(deserialize_with = "pinned")]
    #[schema(value_type = Object)]
    pub pinned_embeddings_properties: Map<String, Value>,
    /// Properties forced into the body of every completions request.
    #[serde(deserialize_with = "pinned")]
    #[schema(value_type = Object)]
    pub pinned_completions_properties: Map<String, Value>,
    /// Whether embeddings requests may go here.
    pub allow_embeddings: bool,
    /// Whether completions requests may go here.
    pub allow_completions: bool,
    /// Token sent as `Authorization: Bearer ...`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "token")]
    pub bearer_token: Option<Secret>,
    /// Query appended to every request, without the leading `?`. A secret, for some servers take their key there.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "query_string")]
    pub querystring: Option<Secret>,
    /// Headers set on every request, by name.
    #[serde(deserialize_with = "headers")]
    pub headers: BTreeMap<String, Secret>,
    /// Whether the backend takes part at all: false is `Disabled`, see `State`.
    pub active: bool,
    /// Whether it takes new requests. Kept in step with `Active`.
    pub state: BackendState,
    /// When the backend was created; 1970 until it is stamped.
    pub created_utc: Timestamp,
    /// When the backend was last changed; 1970 until it is stamped.
    pub last_update_utc: Timestamp,
    /// The revision of the cluster's state at which the backend was last changed; 0 before it is stored. Output
    /// only: input may carry it, and is not heeded.
    #[serde(deserialize_with = "ignored")]
    pub revision: u64,
}

// === Backend ===

/// Without a name: what the schema of the API description takes the defaults of properties from.
impl Default for Backend {
    fn default() -> Self {
        unnamed()
    }
}

impl Backend {
    /// A backend with the default of every other property.
    pub fn new(identifier: BackendId) -> Self {
        Self {
            identifier,
            name: String::new(),
            hostname: "localhost".to_owned(),
            port: 8000,
            ssl: false,
            verify_tls: true,
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
            tls_server_name: None,
            unhealthy_threshold: 2,
            healthy_threshold: 2,
            health_check_method: HealthCheckMethod::Get,
            health_check_url: "/".to_owned(),
            max_parallel_requests: 4,
            rate_limit_requests_threshold: 10,
            priority: 0,
            weight: 1,
            circuit_breaker_error_percent: 50,
            circuit_breaker_minimum_requests: 10,
            circuit_breaker_window_ms: 30_000,
            circuit_breaker_connect_failures: 5,
            circuit_breaker_open_ms: 5_000,
            log_request_full: false,
            log_request_body: false,
            log_response_body: false,
            api_format: ApiFormat::Ollama,
            labels: Vec::new(),
            pinned_embeddings_properties: Map::new(),
            pinned_completions_properties: Map::new(),
            allow_embeddings: true,
            allow_completions: true,
            bearer_token: None,
            querystring: None,
            headers: BTreeMap::new(),
            active: true,
            state: BackendState::Active,
            created_utc: Timestamp::EPOCH,
            last_update_utc: Timestamp::EPOCH,
            revision: 0,
        }
    }

    /// Reads the body of a create: absent properties take their defaults, absent times become `now`.
    pub fn from_json(text: &[u8], now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        Self::from_value(&super::parse(text)?, now)
    }

    /// Reads a backend from JSON that is parsed already, see [`Backend::from_json`].
    pub fn from_value(value: &Value, now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        lenient::read(value).and_then(|parsed| Self::finish(parsed, now))
    }

    /// Reads the body of an update: `identifier` replaces whatever the body says.
    pub fn from_json_as(
        identifier: BackendId,
        text: &[u8],
        now: Timestamp,
    ) -> Result<Parsed<Self>, ObjectError> {
        let mut parsed: Parsed<Self> =
            lenient::read(&super::without_property(super::parse(text)?, "Identifier"))?;
        parsed.value.identifier = identifier;
        Self::finish(parsed, now)
    }

    /// Checks that the backend has a name and stamps absent times with `now`: the last step of reading one that
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
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            let (missing, there) = match self.tls_key {
                None => ("TlsKey", "TlsCertificate"),
                Some(_) => ("TlsCertificate", "TlsKey"),
            };
            let path = JsonPath::root().property(missing);
            return Err(ObjectError::new(path, format!("must be given together with {there}")));
        }
        // Clients of the original know `Active` only: a backend that either property takes out is out.
        if !self.active {
            self.state = BackendState::Disabled;
        }
        self.active = self.state != BackendState::Disabled;
        Ok(())
    }

    /// Whether new requests may go here.
    pub fn takes_requests(&self) -> bool {
        self.state == BackendState::Active
    }

    /// The configured headers that probes and requests carry. The connection and the framing are the node's own
    /// business, and a bearer token goes before an `Authorization` of the list.
    pub fn sent_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).filter(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let nodes_own = is_hop_by_hop(&name)
                || name == "content-length"
                || (name == "authorization" && self.bearer_token.is_some());
            !nodes_own && !value.is_empty()
        })
    }

    /// Puts the secrets of `stored` back where a client returned the redaction mark it had been shown.
    pub fn restore_secrets(&mut self, stored: &Self) {
        if self.bearer_token.as_ref().is_some_and(Secret::is_redaction_mark) {
            self.bearer_token.clone_from(&stored.bearer_token);
        }
        if self.tls_key.as_ref().is_some_and(Secret::is_redaction_mark) {
            self.tls_key.clone_from(&stored.tls_key);
        }
        if self.querystring.as_ref().is_some_and(Secret::is_redaction_mark) {
            self.querystring.clone_from(&stored.querystring);
        }
        for (name, value) in &mut self.headers {
            if let Some(known) = stored.header(name)
                && value.is_redaction_mark()
            {
                value.clone_from(known);
            }
        }
    }

    /// The value of the header `name`; a name in this very spelling goes before one in another case.
    pub(super) fn header(&self, name: &str) -> Option<&Secret> {
        let any_case = || self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        self.headers.get(name).or_else(|| any_case().map(|(_, value)| value))
    }

    /// The last steps of reading a body.
    pub(super) fn finish(mut parsed: Parsed<Self>, now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        parsed.value.complete(now)?;
        parsed.unknown.retain(|path| !Self::is_runtime_property(&path.to_string()));
        Ok(parsed)
    }

    /// Whether `name` is a live property, which input may carry and which is then ignored.
    pub fn is_runtime_property(name: &str) -> bool {
        lenient::property_names(&BackendRuntime::default())
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The defaults that reading starts from.
pub(super) fn unnamed() -> Backend {
    Backend::new(BackendId::unset())
}
