//! The load generator: clients that cost little, on one thread, so that they and the upstream fit on one core beside
//! the proxy's. In: an address, a request and amounts; out: counts and times. Knows nothing of what is behind the
//! address; what is measured of the proxy's process comes in as a [`Probe`].

pub(crate) mod client;
pub(crate) mod closed_loop;
pub(crate) mod decoder;
pub(crate) mod faults;
pub(crate) mod idle;
pub(crate) mod request;
pub(crate) mod slow;
pub(crate) mod streams;
pub(crate) mod wrk;

use crate::clock::CpuTime;

/// Reads the CPU time of the process under test; called at the edges of a measured window.
pub(crate) type Probe<'a> = &'a dyn Fn() -> CpuTime;
