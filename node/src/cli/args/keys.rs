//! The arguments of `keys` and `usage`.

use clap::{Args, Subcommand};

use super::objects::{ObjectCommand, task};
use super::remote::RemoteArguments;
use crate::cli::client::Task;
use crate::cli::objects::{Assignment, Change, Kind, ObjectsAction};
use crate::cli::usage::UsageAsked;

#[derive(Debug, Args)]
pub(super) struct KeysArguments {
    #[command(subcommand)]
    command: KeyCommand,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct UsageArguments {
    /// Only that of this key
    #[arg(long, short, value_name = "ID")]
    key: Option<String>,
    /// Only that of this model
    #[arg(long, short)]
    model: Option<String>,
    /// Only that of this day, in UTC
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with_all = ["from", "to"])]
    day: Option<String>,
    /// From this day on [default: 30 days before --to]
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<String>,
    /// Up to this day [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<String>,
    /// Only what the node that is asked has counted; otherwise it asks the others
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    #[command(flatten)]
    Common(ObjectCommand),
    /// Make one, and show its secret: now and never again
    #[command(after_help = "\
  ollamaflow keys create alice 'Models=[\"llama3*\"]' RequestsPerMinute=60 ExpiresUtc=2026-12-31")]
    Create {
        /// Its identifier
        id: String,
        /// Properties and their values
        #[arg(value_name = "PROPERTY=VALUE")]
        assignments: Vec<Assignment>,
    },
    /// Delete one: it lets nobody in any more
    Remove {
        /// Its identifier
        id: String,
    },
    /// Give one a new secret, and show it; the old one lets nobody in any more
    Rotate {
        /// Its identifier
        id: String,
    },
}

// === impl ===

impl KeysArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        let kind = Kind::Key;
        let task = match self.command {
            KeyCommand::Common(command) => command.into_task(kind),
            KeyCommand::Create { id, assignments } => {
                let (create, dry_run, lenient) = (true, false, false);
                let change = Change { id, assignments, file: None, revision: None, create, dry_run, lenient };
                task(kind, ObjectsAction::Set(change))
            }
            KeyCommand::Remove { id } => task(kind, ObjectsAction::Remove { id, force: false }),
            KeyCommand::Rotate { id } => task(kind, ObjectsAction::Rotate { id }),
        };
        (self.remote, task)
    }
}

impl UsageArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        let Self { key, model, day, from, to, local, remote } = self;
        (remote, Task::Usage(UsageAsked { key, model, day, from, to, local }))
    }
}
