//! Questions: what one member asks each of the others, outside of the agreement. Who does not know is told of, and no more.

use std::time::Duration;

use ollamaflow_protocol::cluster::NodeId;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::inbox::Inbox;
use super::network::{Call, CallError, ServiceError};
use super::node::Node;
use super::round::call_others;

/// Longest wait for an answer to be found at its receiver.
const FINDING_TIMEOUT: Duration = Duration::from_secs(4);

/// Longest wait for a member to answer.
const ASKING_TIMEOUT: Duration = Duration::from_secs(5);

/// What one member asks. It travels between nodes: plain data, and new kinds come last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// What virtual keys have used: a filter in JSON, the answer are rows in JSON.
    Usage(Vec<u8>),
}

/// A question that has come.
#[derive(Debug)]
pub struct Asked {
    /// What it is.
    pub question: Question,
    answer: oneshot::Sender<Vec<u8>>,
}

/// What a member says.
#[derive(Debug)]
pub struct Reply {
    /// The member.
    pub node: NodeId,
    /// Its answer, or why there is none.
    pub answer: Result<Vec<u8>, String>,
}

// === impl Asked ===

impl Asked {
    /// Answers it. The member may have gone.
    pub fn answer(self, answer: Vec<u8>) {
        let _ = self.answer.send(answer);
    }
}

/// Asks the other members.
pub(super) async fn ask(own: &Node, question: &Question) -> Vec<Reply> {
    let answers = call_others(own, Call::Ask, question, ASKING_TIMEOUT).await;
    let reply = |(node, answer): (NodeId, Result<Vec<u8>, CallError>)| Reply {
        node,
        answer: answer.map_err(|error| error.to_string()),
    };
    answers.into_iter().map(reply).collect()
}

/// Has a question answered by the part of this node that knows.
pub(super) async fn answer(desk: &Inbox<Asked>, question: Question) -> Result<Vec<u8>, ServiceError> {
    let (sender, answer) = oneshot::channel();
    if !desk.put(Asked { question, answer: sender }) {
        return Err(ServiceError::NotReady("it is asked too much".to_owned()));
    }
    match tokio::time::timeout(FINDING_TIMEOUT, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        _ => Err(ServiceError::NotReady("it could not find out".to_owned())),
    }
}
