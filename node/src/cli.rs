//! The command line: what was asked for, and the commands that only look at settings.
//!
//! In: arguments. Out: a [`Command`] for `main` to carry out. Starting a node is not done here.

mod args;
pub mod config;

pub use self::args::{Command, ShowFormat, parse, report_usage};
