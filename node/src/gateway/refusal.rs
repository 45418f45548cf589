//! Every way in which a request is refused or fails before its answer begins, and the one mapping to HTTP.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::{Method, StatusCode, header};
use ollamaflow_protocol::error::{ApiError, ErrorKind};
use ollamaflow_protocol::id::{BackendId, FrontendId};
use ollamaflow_protocol::json::PinError;
use ollamaflow_protocol::models::alias::AliasError;
use ollamaflow_protocol::route::ClientProtocol;
use ollamaflow_protocol::translate::Refused;
use ollamaflow_protocol::wire;

use super::identity::{RequestId, named};
use super::intake::ACCEPTED_CODINGS;
use super::keyed;
use super::manage::ManageError;
use crate::actors::{Denied, NoCandidate};
use crate::keys::KeyDenied;
use crate::media::FetchError;

/// Why a client gets an error of ours and not a backend's answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("there is nothing at this path")]
    NotFound,
    #[error("a path must not contain dot segments")]
    DotSegment,
    #[error("this path takes {allow}")]
    MethodNotAllowed { allow: &'static str },
    #[error("no frontend for host '{0}'")]
    NoFrontend(String),
    #[error("HTTP/1.0 is not accepted here; use HTTP/1.1")]
    HttpVersion,
    #[error("frontend '{frontend}' does not allow {kind}")]
    NotPermitted { frontend: FrontendId, kind: &'static str },
    #[error("this client sends more requests per second than the frontend takes from one")]
    ClientTooFast { retry_after: Duration },
    #[error("{0}")]
    NoKey(&'static str),
    #[error(transparent)]
    Key(#[from] KeyDenied),
    #[error("the node is shutting down")]
    Stopping,
    #[error("the request body is larger than the {maximum} bytes that this frontend accepts")]
    TooLarge { maximum: u64 },
    #[error("the request body did not arrive in time")]
    BodyTimeout,
    #[error("the request body is broken")]
    BodyBroken,
    #[error("the request has to be changed for the backend, and its body is too large for that")]
    NotWhole,
    #[error("content coding '{0}' is not accepted: send the body in one of {ACCEPTED_CODINGS}, or in none")]
    UnknownCoding(String),
    #[error("the request body is no proper {coding}: {why}")]
    Undecodable { coding: &'static str, why: String },
    #[error(transparent)]
    Pins(#[from] PinError),
    #[error(transparent)]
    Unnamed(#[from] AliasError),
    #[error(transparent)]
    Translation(#[from] Refused),
    #[error("{error}")]
    Image { field: Option<String>, error: FetchError },
    #[error(transparent)]
    Manage(#[from] ManageError),
    #[error("{0}")]
    NoCandidate(String),
    #[error("which models there are is not known: backends {backends} have not told")]
    ModelsUnknown { backends: String },
    #[error("all backends are busy, and too many requests wait for them already")]
    QueueFull { retry_after: Duration, rate_limited: bool },
    #[error("no backend was free within {waited_ms} ms")]
    QueueTimedOut { waited_ms: u64 },
    #[error("backend '{backend}' could not be reached: {why}")]
    Unreachable { backend: BackendId, why: String },
    #[error("backend '{backend}' failed before it answered: {why}")]
    Failed { backend: BackendId, why: String },
    #[error("backend '{backend}' sent nothing for {waited_ms} ms")]
    TimedOut { backend: BackendId, waited_ms: u64 },
}

// === impl Refusal ===

impl Refusal {
    /// The status, whatever the protocol.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::NoFrontend(_) => StatusCode::NOT_FOUND,
            Self::DotSegment
            | Self::BodyBroken
            | Self::Undecodable { .. }
            | Self::Pins(_)
            | Self::Unnamed(_)
            | Self::Translation(_) => StatusCode::BAD_REQUEST,
            Self::Image { error, .. } => match error {
                FetchError::Busy => StatusCode::SERVICE_UNAVAILABLE,
                FetchError::Tls(_) => StatusCode::BAD_GATEWAY,
                _ => StatusCode::BAD_REQUEST,
            },
            Self::Manage(error) => error.status(),
            Self::UnknownCoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NotPermitted { .. } => StatusCode::FORBIDDEN,
            Self::NoKey(_) => StatusCode::UNAUTHORIZED,
            Self::Key(denied) => keyed::status(denied),
            Self::TooLarge { .. } | Self::NotWhole => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NoCandidate(_)
            | Self::ModelsUnknown { .. }
            | Self::Unreachable { .. }
            | Self::Failed { .. } => StatusCode::BAD_GATEWAY,
            Self::Stopping | Self::QueueFull { rate_limited: false, .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::ClientTooFast { .. } | Self::QueueFull { rate_limited: true, .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::TimedOut { .. } | Self::QueueTimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// A word for it, for logs.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::DotSegment => "dot_segment",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::NoFrontend(_) => "no_frontend",
            Self::HttpVersion => "http_version",
            Self::NotPermitted { .. } => "not_permitted",
            Self::ClientTooFast { .. } => "client_too_fast",
            Self::NoKey(_) => "no_key",
            Self::Key(_) => "key",
            Self::Stopping => "stopping",
            Self::TooLarge { .. } => "too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyBroken => "body_broken",
            Self::NotWhole => "not_whole",
            Self::UnknownCoding(_) => "unknown_coding",
            Self::Undecodable { .. } => "undecodable",
            Self::Pins(_) => "pins",
            Self::Unnamed(_) => "no_model_name",
            Self::Translation(_) => "translation",
            Self::Image { .. } => "image",
            Self::Manage(_) => "manage",
            Self::NoCandidate(_) => "no_candidate",
            Self::ModelsUnknown { .. } => "models_unknown",
            Self::QueueFull { .. } => "queue_full",
            Self::QueueTimedOut { .. } => "queue_timeout",
            Self::Unreachable { .. } => "unreachable",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timeout",
        }
    }

    /// What logs may tell of it: the whole sentence, if it is all of this node's making. Others' words may quote what a
    /// client has asked.
    pub(super) fn told(&self) -> Cow<'static, str> {
        match self {
            Self::Failed { .. }
            | Self::Key(KeyDenied::Model(_))
            | Self::Translation(_)
            | Self::Undecodable { .. }
            | Self::Pins(_)
            | Self::Unnamed(_)
            | Self::Image { .. }
            | Self::Manage(_) => Cow::Borrowed(self.label()),
            _ => Cow::Owned(self.to_string()),
        }
    }

    /// How long the client should wait before it tries again; none if that is of no use.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ClientTooFast { retry_after } | Self::QueueFull { retry_after, .. } => Some(*retry_after),
            // By then another node answers, or this one again.
            Self::Stopping => Some(Duration::from_secs(1)),
            Self::Key(denied) => denied.retry_after(),
            Self::Manage(error) if error.status() == StatusCode::SERVICE_UNAVAILABLE => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// The answer in the client's own protocol.
    pub(super) fn into_response(
        self,
        protocol: ClientProtocol,
        method: &Method,
        id: &RequestId,
    ) -> HttpResponse<BoxBody> {
        let status = self.status();
        let message = self.to_string();
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, "application/json"));
        match self {
            Self::MethodNotAllowed { allow } => {
                response.insert_header((header::ALLOW, allow));
            }
            // RFC 9110 §12.5.3: what would have been taken.
            Self::UnknownCoding(_) => {
                response.insert_header((header::ACCEPT_ENCODING, ACCEPTED_CODINGS));
            }
            // RFC 6750 §3.
            Self::NoKey(_) | Self::Key(_) if status == StatusCode::UNAUTHORIZED => {
                let challenge = if matches!(self, Self::NoKey(keyed::NONE_SHOWN)) {
                    "Bearer realm=\"ollamaflow\""
                } else {
                    "Bearer realm=\"ollamaflow\", error=\"invalid_token\""
                };
                response.insert_header((header::WWW_AUTHENTICATE, challenge));
            }
            _ => {}
        }
        if let Some(wait) = self.retry_after() {
            // Whole seconds is all that the header can say: never too few.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds.max(1)));
        }
        if matches!(self, Self::BodyTimeout | Self::BodyBroken) {
            response.force_close();
        }
        if method == Method::HEAD {
            return response.finish();
        }
        let field = match &self {
            Self::Translation(refused) => refused.field.as_deref(),
            Self::Image { field, .. } => field.as_deref(),
            _ => None,
        };
        match wire::error_body_of(protocol, status.as_u16(), &message, field) {
            Some(body) if protocol == ClientProtocol::Anthropic => {
                response.body(named(body.into_bytes(), id))
            }
            Some(body) => response.body(body),
            None => response.json(ApiError::new(self.kind(), message)),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound | Self::NoFrontend(_) => ErrorKind::NotFound,
            Self::HttpVersion => ErrorKind::UnsupportedHttpVersion,
            Self::NotPermitted { .. } | Self::Key(_) => ErrorKind::AuthorizationFailed,
            Self::NoKey(_) => ErrorKind::AuthenticationFailed,
            Self::Stopping => ErrorKind::InternalError,
            Self::TooLarge { .. } | Self::NotWhole => ErrorKind::TooLarge,
            Self::ClientTooFast { .. } | Self::QueueFull { .. } => ErrorKind::SlowDown,
            Self::NoCandidate(_)
            | Self::ModelsUnknown { .. }
            | Self::Unreachable { .. }
            | Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::QueueTimedOut { .. } => ErrorKind::BadGateway,
            _ => ErrorKind::BadRequest,
        }
    }
}

impl From<NoCandidate> for Refusal {
    fn from(nobody: NoCandidate) -> Self {
        Self::NoCandidate(nobody.to_string())
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Nobody(nobody) => nobody.into(),
            Denied::QueueFull { retry_after, rate_limited } => Self::QueueFull { retry_after, rate_limited },
            Denied::TimedOut { waited } => {
                Self::QueueTimedOut { waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX) }
            }
        }
    }
}
