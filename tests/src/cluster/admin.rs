//! A node's admin API as a client of a cluster uses it: one connection that is kept, every request with a deadline, and
//! answers sorted by what they say about a write: made, refused, not made, or not known.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Collected, NoResponse, RawConnection, Request};
use crate::node::ADMIN_TOKEN;

/// How long a client waits for an answer: longer than a node may keep a write that finds no quorum.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(25);

/// How often a write is made that may be repeated. A node answers after 5 s that a write is not confirmed.
const REPETITIONS: usize = 5;
/// A kept connection that was idle for longer is not used again: the node may be closing it.
const IDLE_LIMIT: Duration = Duration::from_millis(500);

/// Where the nodes listen for clients just now; none for a node that does not run. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<Mutex<Vec<Option<SocketAddr>>>>);

/// A client of one node.
#[derive(Debug)]
pub struct Admin {
    addresses: Addresses,
    node: usize,
    /// With the address it leads to and the end of its last use.
    connection: Option<(RawConnection, SocketAddr, Instant)>,
}

/// What became of a write, as far as its client can tell.
#[derive(Debug, Clone)]
pub enum Write {
    /// It is made.
    Done(Box<Collected>),
    /// The state machine or a rule refused it; it changed nothing.
    Refused(Box<Collected>),
    /// It changed nothing, since there was nobody to take it.
    NotDone(String),
    /// It may be made, or may still be made later.
    Unknown(String),
}

// === Addresses ===

impl Addresses {
    pub(super) fn set(&self, node: usize, address: Option<SocketAddr>) {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() <= node {
            addresses.resize(node + 1, None);
        }
        addresses[node] = address;
    }

    /// Where this node listens; none if it does not run.
    pub fn get(&self, node: usize) -> Option<SocketAddr> {
        let addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(node).copied().flatten()
    }

    /// How many nodes there are, running or not.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A client of one node, wherever it listens at the time of each request.
    pub fn admin(&self, node: usize) -> Admin {
        Admin { addresses: self.clone(), node, connection: None }
    }
}

// === Admin ===

impl Admin {
    /// The node it talks to.
    pub fn node(&self) -> usize {
        self.node
    }

    /// Sends a request with the admin token; the error tells why there is no answer.
    pub async fn send(&mut self, request: Request) -> Result<Collected, NoAnswer> {
        let address = self.addresses.get(self.node).ok_or(NoAnswer::NotConnected)?;
        let request = request.bearer(ADMIN_TOKEN);
        let kept =
            self.connection.take().filter(|(_, to, last)| *to == address && last.elapsed() < IDLE_LIMIT);
        let exchange = async {
            let connection = match kept {
                Some((connection, ..)) => connection,
                None => RawConnection::open(address).await.map_err(|_| NoAnswer::NotConnected)?,
            };
            let response = connection.exchange(&request).await?;
            Ok(response.collect_reusable().await)
        };
        let answered = tokio::time::timeout(ANSWER_PATIENCE, exchange).await.unwrap_or(Err(NoAnswer::Late));
        let (answer, connection) = answered?;
        if connection.closed().is_none() && answer.header("connection") != Some("close") {
            self.connection = Some((connection, address, Instant::now()));
        }
        if answer.end == crate::client::End::Complete { Ok(answer) } else { Err(NoAnswer::Broken) }
    }

    /// Makes a write.
    pub async fn write(&mut self, request: Request) -> Write {
        match self.send(request).await {
            Ok(answer) => Write::of(answer),
            Err(NoAnswer::NotConnected) => Write::NotDone("the node does not listen".to_owned()),
            Err(reason) => Write::Unknown(reason.to_string()),
        }
    }

    /// Makes a write that does no harm when it is made twice: again while it is not confirmed, a few times.
    pub async fn write_repeated(&mut self, request: &Request) -> Write {
        for _ in 1..REPETITIONS {
            match self.write(request.clone()).await {
                Write::NotDone(_) | Write::Unknown(_) => {}
                confirmed => return confirmed,
            }
        }
        self.write(request.clone()).await
    }

    /// Creates a backend.
    pub async fn create_backend(&mut self, backend: &Value) -> Write {
        self.write(Request::new("PUT", "/v1.0/backends").json(backend)).await
    }

    /// Changes a backend, if it is at this revision.
    pub async fn update_backend(&mut self, id: &str, changes: &Value, at: Option<u64>) -> Write {
        let request = Request::new("PUT", &format!("/v1.0/backends/{id}")).json(changes);
        let request = match at {
            Some(revision) => request.header("If-Match", &format!("\"{revision}\"")),
            None => request,
        };
        self.write(request).await
    }

    /// Reads as this node has it, or with a quorum. The error is the answer, unless its status is 200, or why there is none.
    pub async fn read(&mut self, path: &str, consistency: Consistency) -> Result<Value, String> {
        let path = match consistency {
            Consistency::Local => path.to_owned(),
            Consistency::Linearizable => format!("{path}?consistency=linearizable"),
        };
        let answer = self.send(Request::get(&path)).await.map_err(|e| e.to_string())?;
        if answer.status() != 200 {
            return Err(format!("status {}: {}", answer.status(), answer.text()));
        }
        serde_json::from_slice(&answer.body).map_err(|e| format!("{e}: {}", answer.text()))
    }
}

/// What a read must have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// What the node has.
    Local,
    /// Everything that was confirmed before the read, on whichever node.
    Linearizable,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody listens: the request was not sent.
    #[error("the node does not listen")]
    NotConnected,
    /// The connection ended before the end of the answer.
    #[error("the connection ended before the answer did")]
    Broken,
    /// It took too long.
    #[error("no answer within {ANSWER_PATIENCE:?}")]
    Late,
}

impl From<NoResponse> for NoAnswer {
    fn from(reason: NoResponse) -> Self {
        match reason {
            NoResponse::NotConnected(_) => Self::NotConnected,
            NoResponse::Closed | NoResponse::Reset | NoResponse::Malformed(_) => Self::Broken,
        }
    }
}

// === Write ===

/// What a node says when a write changed nothing and may be tried again. That it is true is part of what the suites
/// prove.
const NOT_DONE: [&str; 5] = [
    "no leader",
    "the leadership is moving",
    "this node is not part of a cluster yet",
    "the cluster is still forming",
    "nothing was changed",
];

impl Write {
    fn of(answer: Collected) -> Self {
        match answer.status() {
            200..=299 => Self::Done(Box::new(answer)),
            400..=499 => Self::Refused(Box::new(answer)),
            status => {
                let message = message(&answer);
                if status == 503 && NOT_DONE.iter().any(|words| message.contains(words)) {
                    Self::NotDone(message)
                } else {
                    Self::Unknown(format!("status {status}: {message}"))
                }
            }
        }
    }

    /// The revision that it made: the `ETag` of the object.
    pub fn revision(&self) -> Option<u64> {
        match self {
            Self::Done(answer) => etag(answer),
            Self::Refused(_) | Self::NotDone(_) | Self::Unknown(_) => None,
        }
    }

    /// The answer; panics when it was not made.
    #[track_caller]
    #[expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]
    pub fn done(self) -> Collected {
        match self {
            Self::Done(answer) => *answer,
            Self::Refused(answer) => panic!("refused with {}: {}", answer.status(), answer.text()),
            Self::NotDone(reason) | Self::Unknown(reason) => panic!("not confirmed: {reason}"),
        }
    }
}

/// The revision in an answer's `ETag`, or else in its object.
pub fn etag(answer: &Collected) -> Option<u64> {
    let tag = answer.header("etag").map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
    tag.and_then(|tag| tag.parse().ok()).or_else(|| revision(&serde_json::from_slice(&answer.body).ok()?))
}

/// The revision of an object.
pub fn revision(object: &Value) -> Option<u64> {
    object["Revision"].as_u64()
}

/// The sentence of an error body.
pub fn message(answer: &Collected) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["Message"].as_str().map_or_else(|| answer.text(), str::to_owned)
}
