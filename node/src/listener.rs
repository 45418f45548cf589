//! The listener: HTTP/1.1 connections of clients, one request at a time.
//!
//! Bytes flow in from a socket and on to the HTTP server; answers flow back. What this room adds is the gate of
//! `GatedStream`: the server gets the bytes of the next request only when the answer to the last one is complete,
//! and a request's head must arrive in time on every request of a connection. The server alone does neither: it
//! encodes an answer by the method and version of whatever request it has read last, so that requests sent ahead
//! would garble the answers before them, and it times the first head of a connection only.
//!
//! Nothing here knows what requests mean.

mod connection;
mod framing;
mod gate;
mod keeping;
mod ring;
mod serve;
mod socket;
mod stopping;
mod tls;

pub use self::connection::{Answer, Connection};
pub use self::keeping::Keeping;
pub use self::ring::{Place as RingPlace, Ring};
pub use self::serve::{ListenerSettings, serve};
pub use self::tls::{ListenerTls, ListenerTlsError, TlsFiles};
