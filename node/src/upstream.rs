//! The upstream client: a thin HTTP/1.1 client for the proxied path, one per worker thread.
//!
//! In goes a [`Target`], a [`RequestHead`] and a [`RequestBody`]; out comes a [`Response`] whose [`ResponseBody`] yields
//! the payload as it arrives. What it is built for, in this order:
//!
//! * **Exact.** A truncated answer is an error, never a shorter answer; what cannot be framed beyond doubt is refused;
//!   a connection is used again only if its last exchange ended to the byte.
//! * **Cancellation.** Dropping the [`send`](Client::send) future or an unfinished [`ResponseBody`] closes the socket
//!   there and then. A client that leaves thereby ends the generation it asked for. No task outlives a request,
//!   because none is started.
//! * **Small.** A waiting stream holds a socket and a few counters: all reading goes through one buffer per worker, and
//!   only what was read is copied out of it.
//! * **Fast.** One write and one read for a small exchange, no allocation per header, connections reused last in, first
//!   out, and a request on a connection that went stale is repeated once on a fresh one.
//!
//! Everything here is `!Send` on purpose: a [`Client`] belongs to one thread, so nothing needs a lock. Deadlines for the
//! first byte and between bytes are the caller's (drop the future or the body); only connecting has one here.
//! The module decides nothing: which target, which headers, whether to try another one is up to the gateway.
//!
//! ```text
//! client ─▶ pool ──────────┐ reused
//!    └────▶ connect ─▶ io ─┴▶ exchange ─▶ upload ─▶ socket
//!                                  └─────▶ decode ◀─ socket ─▶ response ─▶ pool
//! ```

mod body;
mod client;
mod connect;
mod decode;
#[cfg(test)]
mod decode_property;
mod error;
mod exchange;
mod head;
mod io;
mod pool;
mod response;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod upload;

pub use self::body::{BodySourceError, BodyStream, RequestBody};
pub use self::client::{Client, ClientSettings};
pub use self::connect::{Addresses, lookup};
pub use self::decode::BodyKind;
pub use self::error::{BodyError, SendError};
pub use self::head::{InvalidHead, RequestHead};
pub use self::response::{Response, ResponseBody, Watcher};
pub use self::target::{Target, TargetError};
pub use self::tls::{TlsError, TlsNeeds, tls_config, tls_config_for, tls_config_with_roots};
