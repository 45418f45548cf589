//! The arguments of the commands that look at a running node: `status`, `sessions`, `export`, `try`, `top`, `doctor`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::remote::RemoteArguments;
use crate::cli::client::Task;
use crate::cli::doctor::Doctor;
use crate::cli::export::Export;
use crate::cli::sessions::SessionsAction;
use crate::cli::top::Top;
use crate::cli::trial::Trial;

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct SessionsArguments {
    #[command(subcommand)]
    command: Option<SessionsCommand>,
    /// Only those of this frontend
    #[arg(long, short, global = true, value_name = "ID")]
    frontend: Option<String>,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum SessionsCommand {
    /// Show them; this is also what happens without a command
    List,
    /// End them; their clients are bound anew by their next requests
    Clear,
}

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// The file, which must not exist yet and only you can read [default: the standard output]
    file: Option<PathBuf>,
    /// Put secrets into it, in clear; without this they are marks that keep those that the cluster has
    #[arg(long)]
    include_secrets: bool,
    /// Replace a file of that name
    #[arg(long, requires = "file")]
    force: bool,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct TryArguments {
    /// What to say
    #[arg(default_value = "Why is the sky blue? Answer in one sentence.")]
    prompt: String,
    /// Frontend to go through [default: the only one]
    #[arg(long, short, value_name = "ID")]
    frontend: Option<String>,
    /// Model to ask [default: the frontend's, or the only one that there is]
    #[arg(long, short)]
    model: Option<String>,
    /// Most tokens of the answer
    #[arg(long, value_name = "NUMBER")]
    max_tokens: Option<u32>,
    /// Labels that the backend must have
    #[arg(long, value_name = "LABEL,...", value_delimiter = ',')]
    label: Vec<String>,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct TopArguments {
    /// Time between two frames
    #[arg(long, short, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    interval: u64,
    /// Print one frame and leave
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    /// Other nodes of the cluster, to be looked at too
    #[arg(long, value_name = "URL,...", value_delimiter = ',')]
    node: Vec<String>,
    #[command(flatten)]
    remote: RemoteArguments,
}

// === impl ===

impl StatusArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        (self.remote, Task::Status)
    }
}

impl SessionsArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        let clear = matches!(self.command, Some(SessionsCommand::Clear));
        (self.remote, Task::Sessions(SessionsAction { frontend: self.frontend, clear }))
    }
}

impl ExportArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        let Self { file, include_secrets, force, remote } = self;
        (remote, Task::Export(Export { file, include_secrets, force }))
    }
}

impl TryArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        let Self { prompt, frontend, model, max_tokens, label, remote } = self;
        (remote, Task::Try(Trial { prompt, frontend, model, max_tokens, labels: label }))
    }
}

impl TopArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        let Self { interval, once, remote } = self;
        (remote, Task::Top(Top { interval: Duration::from_millis(interval), once }))
    }
}

impl DoctorArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        (self.remote, Task::Doctor(Doctor { nodes: self.node }))
    }
}
