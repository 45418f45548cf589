//! Notes: what one member lets the others know, without agreement. One that is lost costs time, never truth.

use std::time::Duration;

use ollamaflow_protocol::id::BackendId;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::inbox::Inbox;
use super::network::Call;
use super::node::Node;
use super::round::call_others;

/// Longest wait for a note to be dealt with at its receiver.
const DEALING_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest wait for a member to answer: it deals with the note meanwhile.
const TELLING_TIMEOUT: Duration = Duration::from_millis(1500);

/// What one member lets the others know. It travels between nodes: plain data, and new kinds come last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// A client has changed the models of these backends: what is known of them is old.
    ModelsChanged(Vec<BackendId>),
}

/// A note that has come. The sender waits, for a little, until this is dropped.
#[derive(Debug)]
pub struct Received {
    /// What it says.
    pub note: Note,
    _dealt: oneshot::Sender<()>,
}

/// Hands on a note, and waits until it is dealt with, or for long enough.
pub(super) async fn take(inbox: &Inbox<Received>, note: Note) {
    let (dealt, is_dealt_with) = oneshot::channel();
    if inbox.put(Received { note, _dealt: dealt }) {
        let _ = tokio::time::timeout(DEALING_TIMEOUT, is_dealt_with).await;
    }
}

/// Tells the other members, and waits until they have dealt with it, or for long enough.
pub(super) async fn tell(own: &Node, note: &Note) {
    for (id, answer) in call_others(own, Call::Note, note, TELLING_TIMEOUT).await {
        if let Err(error) = answer {
            tracing::debug!(node = id, %error, "a node was not told what has changed; it will see for itself");
        }
    }
}
