//! Syslog: datagrams of RFC 5424 over UDP (RFC 5426), to each server by a queue and a thread of its own.

mod datagram;
mod server;

pub(super) use self::datagram::{Header, Severity};
pub(super) use self::server::Server;

/// Most bytes that wait for one server.
pub(super) const BOUND: usize = 512 * 1024;
