//! Which headers of a message end at this hop: the standard ones, and those that its `Connection` lists.

use actix_web::http::header::{HeaderName, HeaderValue};
use ollamaflow_protocol::header::{connection_options, is_hop_by_hop};
use smallvec::SmallVec;

/// The headers that one message names in its `Connection`.
pub(super) struct Hop {
    listed: SmallVec<[String; 2]>,
}

// === impl Hop ===

impl Hop {
    /// From all `Connection` values of a message.
    pub(super) fn of<'a>(connection: impl Iterator<Item = &'a HeaderValue>) -> Self {
        let text = |value: &'a HeaderValue| value.to_str().unwrap_or_default();
        Self { listed: connection.flat_map(|value| connection_options(text(value))).collect() }
    }

    /// Whether this header goes no further.
    pub(super) fn ends(&self, name: &HeaderName) -> bool {
        is_hop_by_hop(name.as_str()) || self.listed.iter().any(|listed| listed == name.as_str())
    }
}
