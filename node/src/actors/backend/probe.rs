//! The I/O of health checks and model discovery, by `awc`: control traffic, where its costs do not matter.

use std::future::Future;
use std::time::Duration;

use awc::error::{PayloadError, SendRequestError};
use awc::http::Method;
use awc::{Client, Connector};
use bytes::Bytes;
use ollamaflow_protocol::model::canonical;
use ollamaflow_protocol::object::{Backend, HealthCheckMethod, Secret};
use ollamaflow_protocol::translate::Version;
use serde::Deserialize;

use super::models;
use super::residency::{Listed, parse_ps};
use crate::upstream::{TlsError, tls_config};

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
        let exchange = exchange(config, method, &config.health_check_url, self.timeout);
        async { exchange.await.map(|_| ()) }
    }
}

/// The names of the backend's models.
pub(super) fn models(config: &Backend) -> impl Future<Output = Result<Vec<String>, ProbeError>> + 'static {
    let format = config.api_format;
    let exchange = exchange(config, Method::GET, models::path(format), MODELS_TIMEOUT);
    async move { Ok(models::names(format, &exchange.await?)?) }
}

/// The version of an Ollama; `None` if it tells none that can be compared.
pub(super) fn version(
    config: &Backend,
    timeout: Duration,
) -> impl Future<Output = Result<Option<Version>, ProbeError>> + 'static {
    #[derive(Deserialize)]
    struct Answer {
        version: String,
    }
    let exchange = exchange(config, Method::GET, "/api/version", timeout);
    async move {
        let answer: Answer = serde_json::from_slice(&exchange.await?)?;
        Ok(answer.version.parse().ok())
    }
}

/// The models in the memory of an Ollama.
pub(super) fn memory(
    config: &Backend,
    timeout: Duration,
) -> impl Future<Output = Result<Vec<Listed>, ProbeError>> + 'static {
    let exchange = exchange(config, Method::GET, "/api/ps", timeout);
    async move {
        let mut listed = parse_ps(&exchange.await?)?;
        for model in &mut listed {
            model.model = canonical(&model.model);
        }
        Ok(listed)
    }
}

/// One control request; the whole body of a 2xx answer, so that the server sees a whole exchange too.
fn exchange(
    config: &Backend,
    method: Method,
    path: &str,
    limit: Duration,
) -> impl Future<Output = Result<Bytes, ProbeError>> + 'static {
    let request = request(config, method, path, limit);
    async move {
        let exchange = async {
            let mut response = request?.send().await?;
            let status = response.status();
            if !status.is_success() {
                return Err(ProbeError::Status(status.as_u16()));
            }
            Ok(response.body().limit(MAX_BODY_BYTES).await?)
        };
        actix_rt::time::timeout(limit, exchange).await.unwrap_or(Err(ProbeError::Timeout(limit)))
    }
}

// === impl ProbeError ===

impl From<SendRequestError> for ProbeError {
    fn from(e: SendRequestError) -> Self {
        Self::Send(e.to_string())
    }
}

/// A control request with the backend's own credentials. A fresh connection each, as the original's: a pooled
/// one would prove less.
fn request(
    config: &Backend,
    method: Method,
    path: &str,
    timeout: Duration,
) -> Result<awc::ClientRequest, ProbeError> {
    let mut connector = Connector::new().timeout(timeout);
    if config.ssl {
        connector = connector.rustls_0_23(tls_config(config.verify_tls)?);
    }
    let client = Client::builder().connector(connector).disable_redirects().timeout(timeout).finish();
    let scheme = if config.ssl { "https" } else { "http" };
    let host = if config.hostname.contains(':') && !config.hostname.starts_with('[') {
        format!("[{}]", config.hostname)
    } else {
        config.hostname.clone()
    };
    let mut url = format!("{scheme}://{host}:{}{path}", config.port);
    if let Some(query) = config.querystring.as_ref().map(Secret::expose).filter(|query| !query.is_empty()) {
        url.push(if path.contains('?') { '&' } else { '?' });
        url.push_str(query);
    }
    let mut request = client.request(method, url).force_close();
    if let Some(token) = &config.bearer_token {
        request = request.bearer_auth(token.expose());
    }
    for (name, value) in config.sent_headers() {
        request = request.insert_header((name, value));
    }
    Ok(request)
}
