//! The command line: what was asked for, and the commands that do not need a node of their own.
//!
//! In: arguments. Out: a [`Command`] for `main` to carry out. Starting a node is not done here.

mod args;
pub mod config;
pub mod healthcheck;

pub use self::args::{Command, ShowFormat, parse, report_usage};
