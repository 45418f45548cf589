//! The I/O of health checks and model discovery, by `awc`: control traffic, where its costs do not matter.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_tls::connect::{Resolve, Resolver};
use awc::error::{PayloadError, SendRequestError};
use awc::http::{Method, header};
use awc::{Client, Connector};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use ollamaflow_protocol::models::inventory::{Capabilities, Disk, InventoryError, Memory};
use ollamaflow_protocol::object::{ApiFormat, Backend, HealthCheckMethod, Secret};
use ollamaflow_protocol::time::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::tls::tls_of;
use crate::upstream::{Addresses, TlsError, lookup};

/// Largest answer that is read: a long list of models.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Longest wait for a list of models; engines answer it slowly while they load.
const MODELS_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends probes. One per backend actor.
pub(super) struct Prober {
    timeout: Duration,
}

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("the backend's certificate store cannot be used: {0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Send(String),
    #[error("the answer took longer than {0:?}")]
    Timeout(Duration),
    #[error("status {0}")]
    Status(u16),
    #[error("the answer broke off: {0}")]
    Body(#[from] PayloadError),
    #[error("the answer cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    #[error("the list of models could not be read: its thread has ended")]
    Interrupted,
}

// === impl Prober ===

impl Prober {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout }
    }

    /// One health check: any 2xx is a success. Redirects are not followed: the configured address must answer.
    pub(super) fn probe(&self, config: &Backend) -> impl Future<Output = Result<(), ProbeError>> + 'static {
        let method = match config.health_check_method {
            HealthCheckMethod::Get => Method::GET,
            HealthCheckMethod::Head => Method::HEAD,
        };
        let exchange = exchange(config, method, &config.health_check_url, Bytes::new(), self.timeout);
        async { exchange.await.map(|_| ()) }
    }
}

/// A list of models as the backend has sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    format: ApiFormat,
    body: Bytes,
}

/// What was read of a backend's list.
pub(super) struct Listed {
    /// For comparison with the next one.
    pub(super) list: List,
    /// What is on the disk; `None` if the list is the same as before.
    pub(super) disk: Option<Arc<Disk>>,
}

/// The backend's models. `before` is the list that was read before.
pub(super) fn models(
    config: &Backend,
    before: Option<List>,
) -> impl Future<Output = Result<Listed, ProbeError>> + 'static {
    let format = config.api_format;
    let path = if format == ApiFormat::OpenAI { "/v1/models" } else { "/api/tags" };
    let exchange = exchange(config, Method::GET, path, Bytes::new(), MODELS_TIMEOUT);
    async move {
        let list = List { format, body: exchange.await? };
        if before.is_some_and(|before| before == list) {
            return Ok(Listed { list, disk: None });
        }
        // Thousands of models take longer than others on this thread can wait.
        let body = list.body.clone();
        let reading = actix_rt::task::spawn_blocking(move || Disk::read(format, &body));
        let disk = reading.await.map_err(|_| ProbeError::Interrupted)??;
        Ok(Listed { list, disk: Some(Arc::new(disk)) })
    }
}

// === impl List ===

impl List {
    /// What a backend of OpenAI's API has in memory; `None` for others, which have a list of that.
    pub(super) fn memory(&self, now: Timestamp) -> Option<Result<Memory, InventoryError>> {
        (self.format == ApiFormat::OpenAI).then(|| Memory::of_list(&self.body, now))
    }
}

/// What the model of this name can do; `None` if the backend's release does not tell.
pub(super) fn capabilities(
    config: &Backend,
    model: &str,
    timeout: Duration,
) -> impl Future<Output = Result<Option<Capabilities>, ProbeError>> + 'static {
    let question = Bytes::from(json!({ "model": model }).to_string());
    let exchange = exchange(config, Method::POST, "/api/show", question, timeout);
    async move { Ok(Capabilities::of_show(&exchange.await?)?) }
}

/// The version of an Ollama, as it tells it.
pub(super) fn version(
    config: &Backend,
    timeout: Duration,
) -> impl Future<Output = Result<String, ProbeError>> + 'static {
    #[derive(Deserialize)]
    struct Answer {
        version: String,
    }
    let exchange = exchange(config, Method::GET, "/api/version", Bytes::new(), timeout);
    async move {
        let answer: Answer = serde_json::from_slice(&exchange.await?)?;
        Ok(answer.version)
    }
}

/// The models in the memory of an Ollama.
pub(super) fn memory(
    config: &Backend,
    timeout: Duration,
) -> impl Future<Output = Result<Memory, ProbeError>> + 'static {
    let exchange = exchange(config, Method::GET, "/api/ps", Bytes::new(), timeout);
    async move { Ok(Memory::read(&exchange.await?)?) }
}

/// One control request; the whole body of a 2xx answer, so that the server sees a whole exchange too.
fn exchange(
    config: &Backend,
    method: Method,
    path: &str,
    body: Bytes,
    limit: Duration,
) -> impl Future<Output = Result<Bytes, ProbeError>> + 'static {
    let request = control_request(config, method, path, limit);
    async move {
        let exchange = async {
            let request = request?;
            let sent = if body.is_empty() {
                request.send()
            } else {
                request.content_type("application/json").send_body(body)
            };
            let mut response = sent.await?;
            let status = response.status();
            if !status.is_success() {
                return Err(ProbeError::Status(status.as_u16()));
            }
            Ok(response.body().limit(MAX_BODY_BYTES).await?)
        };
        actix_rt::time::timeout(limit, exchange).await.unwrap_or(Err(ProbeError::Timeout(limit)))
    }
}

/// Resolves every name to the addresses of this host.
struct At(String);

// === impl At ===

impl Resolve for At {
    fn lookup<'a>(
        &'a self,
        _: &'a str,
        port: u16,
    ) -> LocalBoxFuture<'a, Result<Vec<SocketAddr>, Box<dyn std::error::Error>>> {
        let host = self.0.trim_start_matches('[').trim_end_matches(']');
        async move {
            let found: Addresses = lookup(host.into(), port, ()).await?;
            Ok(found.into_vec())
        }
        .boxed_local()
    }
}

// === impl ProbeError ===

impl From<SendRequestError> for ProbeError {
    fn from(e: SendRequestError) -> Self {
        Self::Send(e.to_string())
    }
}

/// A control request with the backend's own credentials: headers, token, query and TLS. A fresh connection each, as the
/// original's: a pooled one would prove less. `timeout` is for the connection, and for the head of the answer.
///
/// # Errors
/// The system's certificate store cannot be used.
pub fn control_request(
    config: &Backend,
    method: Method,
    path: &str,
    timeout: Duration,
) -> Result<awc::ClientRequest, TlsError> {
    let host = if config.hostname.contains(':') && !config.hostname.starts_with('[') {
        format!("[{}]", config.hostname)
    } else {
        config.hostname.clone()
    };
    let tls = tls_of(config)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    // awc asks a server for the name in the URL.
    let other_name = config.tls_server_name.as_ref().filter(|_| tls.is_some());
    let tcp = match other_name {
        None => actix_tls::connect::Connector::default(),
        Some(_) => actix_tls::connect::Connector::new(Resolver::custom(At(host.clone()))),
    };
    let mut connector = Connector::new().connector(tcp.service()).timeout(timeout);
    if let Some(tls) = tls {
        connector = connector.rustls_0_23(tls);
    }
    let client = Client::builder().connector(connector).disable_redirects().timeout(timeout).finish();
    let mut url = format!("{scheme}://{}:{}{path}", other_name.unwrap_or(&host), config.port);
    if let Some(query) = config.querystring.as_ref().map(Secret::expose).filter(|query| !query.is_empty()) {
        url.push(if path.contains('?') { '&' } else { '?' });
        url.push_str(query);
    }
    let mut request = client.request(method, url).force_close();
    if other_name.is_some() {
        request = request.insert_header((header::HOST, format!("{host}:{}", config.port)));
    }
    if let Some(token) = &config.bearer_token {
        request = request.bearer_auth(token.expose());
    }
    for (name, value) in config.sent_headers() {
        request = request.insert_header((name, value));
    }
    Ok(request)
}
