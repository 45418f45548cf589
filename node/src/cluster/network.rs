//! The peers' transport: what one node asks of another, over HTTP/1.1 on a listener of its own, proven by a secret.
//!
//! In: a [`Call`] with its bytes for a [`Target`]. Out: the peer's bytes, or why there are none ([`CallError`]). On
//! the other side: calls that proved themselves, handed to a [`Service`]. Knows neither Raft's rules nor what the
//! bytes of a call mean; [`Network`] alone encodes Raft's requests.
//!
//! ```text
//! core, openraft -> PeerClient --bounded queue--> thread with awc --HTTP--> server (one worker) -> Service
//! ```
//!
//! # The proof
//!
//! Every request carries a head (`head`): the caller's cluster and node, the node that it means, both sides'
//! runs, a counter, the body's length and SHA-256. An HMAC-SHA-256 of it under the cluster's secret is the seal. The
//! seal is verified before a byte of the body is read, the body against its digest before a byte of it is decoded.
//! Answers are sealed as well, bound to the request's seal. Whoever cannot prove the secret learns nothing: 403 and
//! no body, whatever was asked.
//!
//! # Replays
//!
//! A run is a random number that means one process, so that recordings become worthless when it ends. The receiver
//! takes each counter of a sender's run once (`replay`), and only requests for its own present run. A caller that
//! does not know that run yet, or knows an old one, is told it by a sealed 409 and repeats the call.

mod call;
mod client;
mod connect;
mod head;
mod message;
mod peers;
mod raft;
mod rejections;
mod replay;
mod seal;
mod server;
mod tls;

#[cfg(test)]
mod tests;

pub use self::call::Call;
pub use self::client::PeerClient;
pub use self::message::{CallError, Incoming, Place, Refusal, Service, ServiceError, SharedPlace, Target};
pub use self::raft::{Network, decode_snapshot};
pub use self::rejections::{Reason, Rejections};
pub use self::seal::{PeerSecret, SecretError};
pub use self::server::serve;
pub use self::tls::{PeerTls, PeerTlsError};
