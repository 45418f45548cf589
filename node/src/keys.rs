//! Virtual keys: who is let in by which, within which limits, and what each has used.
//!
//! ```text
//! catalog -> Keys (a snapshot, by hash) -> presented -> KeyHandle -> enter -> Pass (a request's hold on its key)
//!                                                                              | drop
//! Usage (a thread, a file for each day) <- drained every few seconds <- counts of the key
//!    ^ asked by admins and, through the cluster, by other nodes (`asking`)
//! ```
//!
//! In: the catalog, and what requests show. Out: a hold on a key or why there is none; counts. Nothing here knows of
//! frontends' requests, of HTTP or of backends.
//!
//! A secret that a request shows is hashed once and looked up by its hash. The look-up's time may depend on the hash, from
//! which no secret can be found, and on nothing else.

mod asking;
mod handle;
mod meter;
mod table;
mod usage;

pub use self::asking::{ClusterUsage, NodeAnswer, answer_peers, ask_all};
pub(crate) use self::handle::{KeyDenied, KeyHandle, Pass};
pub use self::table::Keys;
pub(crate) use self::table::{KeyCounts, PREFIX, Shown, bearer, hash, resembles_a_key};
pub use self::usage::{Usage, UsageError};
