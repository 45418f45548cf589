//! OllamaFlow's shared types, rules and wire formats.
//!
//! Pure by rule: no I/O, no clock, no async runtime. Whoever needs the time or randomness passes it in. So every
//! decision here can be tested with plain values, and replayed on every node with the same result.

pub mod catalog;
pub mod cluster;
pub mod end;
pub mod error;
pub mod header;
pub mod host;
pub mod id;
pub mod inspect;
pub mod json;
pub mod model;
pub mod models;
pub mod object;
pub mod proxies;
pub mod resume;
pub mod route;
pub mod time;
pub mod token_hash;
pub mod translate;
pub mod usage;
pub mod wire;
