//! Every way in which a request is refused or fails before its answer begins, and the one mapping to HTTP.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::{Method, StatusCode, header};
use ollamaflow_protocol::error::{ApiError, ErrorKind};
use ollamaflow_protocol::id::{BackendId, FrontendId};
use ollamaflow_protocol::json::PinError;
use ollamaflow_protocol::route::ClientProtocol;
use ollamaflow_protocol::wire;

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
    #[error("the request body is larger than the {maximum} bytes that this frontend accepts")]
    TooLarge { maximum: u64 },
    #[error("the request body did not arrive in time")]
    BodyTimeout,
    #[error("the request body is broken")]
    BodyBroken,
    #[error(transparent)]
    Pins(#[from] PinError),
    #[error("{0}")]
    NoCandidate(String),
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
            Self::DotSegment | Self::BodyBroken | Self::Pins(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NotPermitted { .. } => StatusCode::FORBIDDEN,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NoCandidate(_) | Self::Unreachable { .. } | Self::Failed { .. } => StatusCode::BAD_GATEWAY,
            Self::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The answer in the client's own protocol.
    pub(super) fn into_response(self, protocol: ClientProtocol, method: &Method) -> HttpResponse<BoxBody> {
        let status = self.status();
        let message = self.to_string();
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CONTENT_TYPE, "application/json"));
        if let Self::MethodNotAllowed { allow } = self {
            response.insert_header((header::ALLOW, allow));
        }
        if matches!(self, Self::BodyTimeout | Self::BodyBroken) {
            response.force_close();
        }
        if method == Method::HEAD {
            return response.finish();
        }
        match wire::error_body(protocol, status.as_u16(), &message) {
            Some(body) => response.body(body),
            None => response.json(ApiError::new(self.kind(), message)),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound | Self::NoFrontend(_) => ErrorKind::NotFound,
            Self::HttpVersion => ErrorKind::UnsupportedHttpVersion,
            Self::NotPermitted { .. } => ErrorKind::AuthorizationFailed,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::NoCandidate(_) | Self::Unreachable { .. } | Self::Failed { .. } | Self::TimedOut { .. } => {
                ErrorKind::BadGateway
            }
            _ => ErrorKind::BadRequest,
        }
    }
}
