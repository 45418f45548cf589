//! The arguments of `models`.

use clap::{Args, Subcommand};

use super::remote::RemoteArguments;
use crate::cli::client::Task;
use crate::cli::models::{ModelsAction, Through};

#[derive(Debug, Args)]
pub(super) struct ModelsArguments {
    #[command(subcommand)]
    command: ModelsCommand,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// Show which model is where, and why one is not where it should be
    List {
        /// Only this one; without a tag all its tags
        model: Option<String>,
    },
    /// Bring a model to all Ollama backends of a frontend, and require it there
    Pull {
        /// Its name, as Ollama knows it
        model: String,
        #[command(flatten)]
        through: ThroughArguments,
    },
    /// Delete a model from all Ollama backends of a frontend, and require it no more
    Remove {
        /// Its name
        model: String,
        #[command(flatten)]
        through: ThroughArguments,
    },
    /// Tell what the cluster would do about models now
    Plan,
    /// Have the cluster try again at once what has failed
    Reconcile,
    /// Bring a newer version of a model to the backends that have it, one after the other, without clients noticing
    Roll {
        /// Its name
        model: String,
        /// Also where a frontend has no other backend with the model
        #[arg(long)]
        force: bool,
        /// Longest wait for the requests in flight at a backend [default: 60000]
        #[arg(long, value_name = "MS")]
        drain_ms: Option<u32>,
    },
}

#[derive(Debug, Args)]
struct ThroughArguments {
    /// Frontend to go through [default: the only one]
    #[arg(long, short, value_name = "ID")]
    frontend: Option<String>,
    /// Only these backends of it; what the frontend requires then stays as it is
    #[arg(long, short, value_name = "ID,...", value_delimiter = ',')]
    backend: Vec<String>,
}

// === impl ===

impl ModelsArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        (self.remote, Task::Models(self.command.into()))
    }
}

impl From<ModelsCommand> for ModelsAction {
    fn from(command: ModelsCommand) -> Self {
        match command {
            ModelsCommand::List { model } => Self::List { model },
            ModelsCommand::Pull { model, through } => Self::Pull { model, through: through.into() },
            ModelsCommand::Remove { model, through } => Self::Remove { model, through: through.into() },
            ModelsCommand::Plan => Self::Plan,
            ModelsCommand::Reconcile => Self::Reconcile,
            ModelsCommand::Roll { model, force, drain_ms } => Self::Roll { model, force, drain_ms },
        }
    }
}

impl From<ThroughArguments> for Through {
    fn from(arguments: ThroughArguments) -> Self {
        Self { frontend: arguments.frontend, backends: arguments.backend }
    }
}
