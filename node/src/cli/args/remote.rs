//! The arguments by which a running node is found, and those of `cluster` and `apply`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::object::Secret;

use crate::cli::AnswerFormat;
use crate::cli::apply::Apply;
use crate::cli::cluster::ClusterAction;
use crate::cli::remote::Access;
use crate::settings::{ClusterAddress, Sources};

/// Which node, and with which token.
#[derive(Debug, Args)]
#[command(next_help_heading = "Node to talk to")]
pub(super) struct RemoteArguments {
    /// URL of the node [default: `OLLAMAFLOW_SERVER`, ~/.config/ollamaflow/config.toml, or this machine at the port of
    /// the settings]
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// Admin token; other users of this machine may see it here [default: `OLLAMAFLOW_TOKEN`, the same file, or the
    /// first of `AdminBearerTokens` of the settings]
    #[arg(long, global = true, value_name = "TOKEN")]
    token: Option<Secret>,
    /// URL for requests of clients, where the admin API has an address of its own [default: `OLLAMAFLOW_CLIENT_URL`, the
    /// same file, or as --server]
    #[arg(long, global = true, value_name = "URL")]
    client_url: Option<String>,
    #[command(flatten)]
    format: FormatArguments,
}

/// How the answer is printed.
#[derive(Debug, Args)]
pub(super) struct FormatArguments {
    /// Print JSON: one document, or a line for each step of what takes its time
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ClusterArguments {
    #[command(subcommand)]
    command: ClusterCommand,
    // Last, for its heading in the help would go on.
    #[command(flatten)]
    pub(super) remote: RemoteArguments,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Print the cluster as the node sees it
    Status,
    /// Print the members of the cluster
    Members,
    /// Let in a fresh node that waits with `--join invite`
    Add {
        /// Its cluster listener [port: 43412 if absent]
        #[arg(value_name = "HOST:PORT")]
        address: ClusterAddress,
    },
    /// Take a node out for ever; to come back it needs an empty data directory
    Remove {
        /// Its id, as `members` prints it
        #[arg(value_name = "ID")]
        id: NodeId,
    },
    /// Make another node the leader
    TransferLeader {
        /// Its id [default: the one that has most of the log]
        #[arg(value_name = "ID")]
        id: Option<NodeId>,
    },
    /// Write a snapshot on the node now
    Snapshot,
    /// Save what can be configured in a file that only you can read
    Backup {
        /// The file; it must not exist yet
        file: PathBuf,
        /// Put secrets into it, in clear; without this they are left out
        #[arg(long)]
        include_secrets: bool,
        /// Replace a file of that name
        #[arg(long)]
        force: bool,
    },
    /// Restore a backup
    Restore {
        /// The backup; - for the standard input
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct ApplyArguments {
    /// JSON with Frontends, Backends, Keys or some of them: a settings file, an export or a backup; - for the standard input
    file: PathBuf,
    /// Delete the objects that are not in the file; a list that it does not have is left alone
    #[arg(long)]
    prune: bool,
    /// Let the node check it all and tell what would change, but change nothing
    #[arg(long)]
    dry_run: bool,
    /// Pass over properties that the node does not know; otherwise it refuses them
    #[arg(long)]
    lenient: bool,
    #[command(flatten)]
    pub(super) remote: RemoteArguments,
}

// === RemoteArguments ===

impl RemoteArguments {
    pub(super) fn into_access(self, sources: Sources) -> Access {
        Access { server: self.server, token: self.token, client_url: self.client_url, sources }
    }

    pub(super) fn format(&self) -> AnswerFormat {
        self.format.format()
    }
}

// === FormatArguments ===

impl FormatArguments {
    pub(super) const fn format(&self) -> AnswerFormat {
        if self.json { AnswerFormat::Json } else { AnswerFormat::Text }
    }
}

// === ClusterArguments ===

impl ClusterArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, ClusterAction) {
        (self.remote, self.command.into())
    }
}

impl From<ClusterCommand> for ClusterAction {
    fn from(command: ClusterCommand) -> Self {
        match command {
            ClusterCommand::Status => Self::Status,
            ClusterCommand::Members => Self::Members,
            ClusterCommand::Add { address } => Self::Add { address: address.to_string() },
            ClusterCommand::Remove { id } => Self::Remove { id },
            ClusterCommand::TransferLeader { id } => Self::TransferLeader { to: id },
            ClusterCommand::Snapshot => Self::Snapshot,
            ClusterCommand::Backup { file, include_secrets, force } => {
                Self::Backup { file, include_secrets, force }
            }
            ClusterCommand::Restore { file } => Self::Restore { file },
        }
    }
}

// === ApplyArguments ===

impl ApplyArguments {
    pub(super) fn into_parts(self) -> (RemoteArguments, Apply) {
        let Self { file, prune, dry_run, lenient, remote } = self;
        (remote, Apply { file, prune, dry_run, lenient })
    }
}
