//! The command line: what was asked for, the commands that only look at settings, and those that talk to a running
//! node: over its admin API, or to see whether it is ready.
//!
//! In: arguments. Out: a [`Command`] for `main` to carry out. Starting a node is not done here.

pub mod apply;
mod args;
pub mod cluster;
pub mod config;
mod files;
pub mod healthcheck;
pub mod remote;

pub use self::args::{Command, ShowFormat, parse, report_usage};
