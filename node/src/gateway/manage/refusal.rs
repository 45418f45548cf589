//! Why a change of models is refused before any backend is asked for it.

use actix_web::http::StatusCode;
use ollamaflow_protocol::id::{BackendId, FrontendId};
use ollamaflow_protocol::models::change::ChangeError;

use super::wishes::WishError;

/// Why a change of models is refused. The sentences are for the client.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway) enum ManageError {
    #[error(
        "clients of frontend '{frontend}' may not manage models: set its property AllowModelManagement to true to let them"
    )]
    NotAllowed { frontend: FrontendId },
    #[error("frontend '{frontend}' forbids model '{model}' by '{wish}' in its ForbiddenModels")]
    Forbidden { frontend: FrontendId, model: String, wish: String },
    #[error("X-OllamaFlow-Backend-Filter names '{backend}', which is no backend of frontend '{frontend}'")]
    UnknownBackend { frontend: FrontendId, backend: String },
    #[error("backend '{backend}' cannot manage models: it speaks the OpenAI API only")]
    NotManageable { backend: BackendId },
    #[error(
        "no backend of frontend '{frontend}' can manage models: that takes Ollama's API, and they speak OpenAI's only"
    )]
    NobodyCan { frontend: FrontendId },
    #[error("no backend can do this now: {0}")]
    NobodyAvailable(String),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("model '{0}' not found")]
    NoModel(String),
    #[error("model '{model}' is at no backend that can be asked now, but at {others}")]
    PerhapsElsewhere { model: String, others: String },
    #[error(
        "backends {backends} have another model '{model}' and not '{origin}': they would keep it under the same name; delete \
         it there first, or name backends in X-OllamaFlow-Backend-Filter"
    )]
    Diverging { model: String, origin: String, backends: String },
    #[error(
        "nothing was deleted: frontend '{frontend}' requires '{model}' of backend '{backend}', too, and it would be pulled \
         again; take it out of RequiredModels and PreloadModels there first"
    )]
    RequiredElsewhere { model: String, frontend: FrontendId, backend: BackendId },
    #[error("nothing was deleted, since the frontend would require the model again: {0}")]
    StillWished(#[from] WishError),
}

// === impl ManageError ===

impl ManageError {
    pub(in crate::gateway) fn status(&self) -> StatusCode {
        match self {
            Self::NotAllowed { .. } | Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::UnknownBackend { .. }
            | Self::NotManageable { .. }
            | Self::NobodyCan { .. }
            | Self::Change(_) => StatusCode::BAD_REQUEST,
            Self::NoModel(_) => StatusCode::NOT_FOUND,
            Self::Diverging { .. } | Self::RequiredElsewhere { .. } => StatusCode::CONFLICT,
            Self::NobodyAvailable(_) | Self::PerhapsElsewhere { .. } | Self::StillWished(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}
