//! The command line: what was asked for, the commands that only look at settings, and those that talk to a running
//! node: over its admin API, as its clients do, or to see whether it is ready.
//!
//! In: arguments. Out: a [`Command`] for `main` to carry out. Starting a node is not done here, and nothing that serves
//! requests knows what stands here: tables, bars and windows are for people.

pub mod apply;
mod args;
pub mod client;
pub mod cluster;
pub mod completions;
pub mod config;
pub mod doctor;
mod door;
pub mod explain;
pub mod export;
mod files;
pub mod healthcheck;
pub mod models;
pub mod objects;
pub mod openapi;
mod path;
pub mod remote;
pub mod screen;
pub mod sessions;
mod status;
mod table;
pub mod top;
pub mod trial;
pub mod usage;
mod verdict;
mod wire;

pub use self::args::{Command, parse, report_usage};
pub use self::client::AnswerFormat;
pub use self::screen::Screen;
pub use self::verdict::Verdict;
