//! The arguments of `frontends` and `backends`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::remote::RemoteArguments;
use crate::cli::client::Task;
use crate::cli::explain::Explain;
use crate::cli::objects::{Assignment, Change, Kind, Objects, ObjectsAction, State};

#[derive(Debug, Args)]
pub(super) struct FrontendsArguments {
    #[command(subcommand)]
    command: FrontendCommand,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Args)]
pub(super) struct BackendsArguments {
    #[command(subcommand)]
    command: BackendCommand,
    #[command(flatten)]
    remote: RemoteArguments,
}

#[derive(Debug, Subcommand)]
enum FrontendCommand {
    #[command(flatten)]
    Common(ObjectCommand),
    /// Delete one
    Remove {
        /// Its identifier
        id: String,
    },
    /// Tell where a request would go now, and why; nothing is sent
    Explain {
        /// Its identifier
        id: String,
        /// Model of the request [default: the frontend's]
        #[arg(long, short, conflicts_with = "file")]
        model: Option<String>,
        /// Words of the request
        #[arg(long, default_value = "hello", conflicts_with = "file")]
        prompt: String,
        /// Path of the request, such as /v1/embeddings [default: what the body looks like]
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
        /// File with the body of the request; - for the standard input
        #[arg(long, short)]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum BackendCommand {
    #[command(flatten)]
    Common(ObjectCommand),
    /// Delete one; frontends that list it keep it, unless they are made to let go
    Remove {
        /// Its identifier
        id: String,
        /// Take it out of the frontends that list it
        #[arg(long)]
        force: bool,
    },
    /// Let one finish what it has and give it nothing new
    Drain {
        /// Its identifier
        id: String,
        /// Wait so long for the requests that the node has in flight there; exit code 1 if some are left
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=86_400))]
        wait: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ObjectCommand {
    /// Show all
    List,
    /// Show all properties of one; secrets are not shown
    Get {
        /// Its identifier
        id: String,
    },
    /// Change properties of one, or make a new one
    Set(SetArguments),
    /// Let requests in
    Enable {
        /// Its identifier
        id: String,
    },
    /// Let no requests in, and probe nothing
    Disable {
        /// Its identifier
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
The change is refused (exit code 6) if the object is not as it was when it was read: just now, or when the file was
made that has its Revision. Values are JSON where they are valid JSON and texts otherwise; null resets a property. Other
users of this machine may see what you type: give secrets by --file.

  ollamaflow backends set gpu1 --create Hostname=10.0.0.5 Port=8000 ApiFormat=OpenAI 'Labels=[\"fast\"]'
  ollamaflow backends get gpu1 --json > gpu1.json; edit gpu1.json; ollamaflow backends set gpu1 --file gpu1.json")]
pub(super) struct SetArguments {
    /// Its identifier
    id: String,
    /// Properties and their new values
    #[arg(value_name = "PROPERTY=VALUE", required_unless_present = "file")]
    assignments: Vec<Assignment>,
    /// File with a JSON object of properties; - for the standard input
    #[arg(long, short)]
    file: Option<PathBuf>,
    /// Make a new one, which must not exist yet
    #[arg(long)]
    create: bool,
    /// Change it only if it has this revision
    #[arg(long, value_name = "NUMBER", conflicts_with = "create")]
    revision: Option<u64>,
    /// Let the node check it and tell what would change, but change nothing
    #[arg(long)]
    dry_run: bool,
    /// Pass over properties that the node does not know; otherwise it refuses them
    #[arg(long)]
    lenient: bool,
}

// === impl ===

impl FrontendsArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        let kind = Kind::Frontend;
        let task = match self.command {
            FrontendCommand::Common(command) => command.into_task(kind),
            FrontendCommand::Remove { id } => task(kind, ObjectsAction::Remove { id, force: false }),
            FrontendCommand::Explain { id, model, prompt, path, file } => {
                Task::Explain(Explain { frontend: id, model, prompt, path, file })
            }
        };
        (self.remote, task)
    }
}

impl BackendsArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Task) {
        let kind = Kind::Backend;
        let task = match self.command {
            BackendCommand::Common(command) => command.into_task(kind),
            BackendCommand::Remove { id, force } => task(kind, ObjectsAction::Remove { id, force }),
            BackendCommand::Drain { id, wait } => {
                task(kind, ObjectsAction::Turn { id, state: State::Draining, wait })
            }
        };
        (self.remote, task)
    }
}

impl ObjectCommand {
    pub(super) fn into_task(self, kind: Kind) -> Task {
        let turn = |id, state| ObjectsAction::Turn { id, state, wait: None };
        let action = match self {
            Self::List => ObjectsAction::List,
            Self::Get { id } => ObjectsAction::Get { id },
            Self::Set(set) => ObjectsAction::Set(set.into()),
            Self::Enable { id } => turn(id, State::Active),
            Self::Disable { id } => turn(id, State::Disabled),
        };
        task(kind, action)
    }
}

impl From<SetArguments> for Change {
    fn from(arguments: SetArguments) -> Self {
        let SetArguments { id, assignments, file, create, revision, dry_run, lenient } = arguments;
        Self { id, assignments, file, revision, create, dry_run, lenient }
    }
}

pub(super) fn task(kind: Kind, action: ObjectsAction) -> Task {
    Task::Objects(Objects { kind, action })
}
