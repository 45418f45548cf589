//! Why an answer broke off, and whose failure that is.

use std::time::Duration;

use ollamaflow_protocol::resume::Misfit;

use crate::actors::Outcome;
use crate::gateway::resume;
use crate::upstream::BodyError;

/// Why an answer broke off after its head was sent.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway) enum Broken {
    #[error("the backend's answer broke off: {0}")]
    Body(#[from] BodyError),
    #[error("the backend fell silent for {0:?}")]
    Idle(Duration),
    #[error("the backend ended the stream before it was complete")]
    NoEndMarker,
    #[error("the backend reported that it broke")]
    Reported,
    #[error("{0}")]
    Misfit(Misfit),
    #[error("the node is shutting down")]
    Stopping,
}

// === impl Broken ===

impl Broken {
    /// A word for it.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Body(_) => "broke_off",
            Self::Idle(_) => "silent",
            Self::NoEndMarker => "no_end_marker",
            Self::Reported => "reported",
            Self::Misfit(_) => "misfit",
            Self::Stopping => "stopping",
        }
    }

    /// Whose failure it is.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Body(_) | Self::Idle(_) | Self::NoEndMarker | Self::Reported => Outcome::Failed,
            Self::Misfit(misfit) => resume::outcome(*misfit),
            Self::Stopping => Outcome::Cancelled,
        }
    }
}
