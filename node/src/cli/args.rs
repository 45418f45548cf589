//! The arguments, by clap, turned into the inputs of the settings.

mod keys;
mod models;
mod objects;
mod remote;
mod watching;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use ollamaflow_protocol::object::Secret;

use self::keys::{KeysArguments, UsageArguments};
use self::models::ModelsArguments;
use self::objects::{BackendsArguments, FrontendsArguments};
use self::remote::{ApplyArguments, ClusterArguments, FormatArguments, RemoteArguments};
use self::watching::{
    DoctorArguments, ExportArguments, SessionsArguments, StatusArguments, TopArguments, TryArguments,
};
use super::AnswerFormat;
use super::apply::Apply;
use super::client::Task;
use super::cluster::ClusterAction;
use super::remote::Access;
use super::verdict::EXIT_CODES;
use crate::settings::{ClusterFlags, DEFAULT_FILE, Flags, ListenAddress, MissingFile, Sources};

/// What the command line asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Run a node.
    Serve(Sources),
    /// Print the effective settings.
    ConfigShow {
        /// Where the settings come from.
        sources: Sources,
        /// How to print them.
        format: AnswerFormat,
    },
    /// Check a settings file.
    ConfigCheck {
        /// The file.
        file: PathBuf,
        /// How to print what is found.
        format: AnswerFormat,
    },
    /// Ask a running node, or change what is configured.
    Client {
        /// Which node.
        access: Access,
        /// What.
        task: Task,
        /// How to print the answer.
        format: AnswerFormat,
    },
    /// Ask a running node about its cluster, or to change it.
    Cluster {
        /// Which node.
        access: Access,
        /// What.
        action: ClusterAction,
        /// How to print the answer.
        format: AnswerFormat,
    },
    /// Put the objects of a file into the catalog of a running node.
    Apply {
        /// Which node.
        access: Access,
        /// What.
        apply: Apply,
        /// How to print the answer.
        format: AnswerFormat,
    },
    /// Ask the node on this machine whether it is ready.
    Healthcheck {
        /// Where its address comes from.
        sources: Sources,
        /// How to print the answer.
        format: AnswerFormat,
    },
    /// Print the script by which a shell completes commands.
    Completions(Shell),
    /// Print the description of the API.
    OpenApi,
}

/// A load balancer for Ollama and OpenAI-compatible servers.
#[derive(Debug, Parser)]
#[command(name = "ollamaflow", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    source: SourceArguments,
    #[command(subcommand)]
    command: Option<TopCommand>,
}

#[derive(Debug, Default, Args)]
struct SourceArguments {
    /// Settings file; `serve` writes a first one if it does not exist [default: ./ollamaflow.json]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on; * as host for every address, IPv6 addresses in brackets
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    listen: Option<ListenAddress>,
    /// Directory of everything the node stores
    #[arg(long, global = true, value_name = "DIR")]
    data_directory: Option<String>,
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    cluster: MembershipArguments,
}

#[derive(Debug, Default, PartialEq, Eq, Args)]
struct TrafficArguments {
    /// Addresses and networks of proxies in front of the node, whose X-Forwarded-For tells the client
    #[arg(long, global = true, value_name = "CIDR,...", value_delimiter = ',')]
    trusted_proxies: Option<Vec<String>>,
    /// Collector that traces are sent to, by OTLP over HTTP [default: none]
    #[arg(long, global = true, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// How long requests in flight may go on when the node is told to stop [default: 30000]
    #[arg(long, global = true, value_name = "MS")]
    shutdown_grace_ms: Option<u32>,
    /// How long the node goes on accepting when it is told to stop [default: 1000 with peers, 0 without]
    #[arg(long, global = true, value_name = "MS")]
    shutdown_settle_ms: Option<u32>,
}

#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Cluster")]
struct MembershipArguments {
    /// Address to listen on for other nodes [default: *:43412 with --peers or --join]
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    cluster_listen: Option<String>,
    /// Address under which the other nodes reach this one
    #[arg(long, global = true, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// All nodes of a new cluster, this one included; the same list on each of them
    #[arg(long, global = true, value_name = "HOST:PORT,...", value_delimiter = ',')]
    peers: Option<Vec<String>>,
    /// Node of the cluster to join, or `invite` to wait until a member adds this node
    #[arg(long, global = true, value_name = "HOST:PORT")]
    join: Option<String>,
    /// Secret that the nodes share; other users of this machine may see it here, but not in a file
    #[arg(long, global = true, value_name = "SECRET")]
    cluster_secret: Option<Secret>,
    /// File with the secret that the nodes share
    #[arg(long, global = true, value_name = "FILE")]
    cluster_secret_file: Option<String>,
}

#[derive(Debug, Subcommand)]
enum TopCommand {
    /// Run a node; this is also what happens without a command
    Serve,
    /// Look at settings without running a node
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show how a running node, its cluster and its backends are
    Status(StatusArguments),
    /// Look at frontends and change them
    Frontends(FrontendsArguments),
    /// Look at backends and change them
    Backends(BackendsArguments),
    /// Make virtual keys, which clients are let in by, look at them and change them
    Keys(KeysArguments),
    /// Show what virtual keys have used, by key, model and day
    Usage(UsageArguments),
    /// See which model is where, and have models brought, updated and deleted
    Models(ModelsArguments),
    /// See which client is bound to which backend
    Sessions(SessionsArguments),
    /// Look at the cluster of a running node, or change it
    Cluster(ClusterArguments),
    /// Put the frontends, backends and keys of a file into the catalog of a running node, all or none
    Apply(ApplyArguments),
    /// Write all frontends, backends and keys as a file that `apply` takes
    Export(ExportArguments),
    /// Send a prompt through a frontend, and tell how fast the answer came and from where
    Try(TryArguments),
    /// Watch a running node: requests, tokens, queues, backends
    Top(TopArguments),
    /// Look for what is wrong, and tell how it is mended: exit code 1 if something is broken
    Doctor(DoctorArguments),
    /// Ask the node on this machine whether it is ready: exit code 0 if it is
    Healthcheck(FormatArguments),
    /// Print the description of the whole API, as this version serves it at /openapi.json
    #[command(name = "openapi")]
    OpenApi,
    /// Print the script by which a shell completes commands
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print each setting with its effective value and where it came from; secrets are not shown
    Show {
        #[command(flatten)]
        format: FormatArguments,
    },
    /// Check a settings file on its own: print `ok`, or every error with its place
    Check {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        format: FormatArguments,
    },
}

// === parsing ===

/// Reads the arguments, the first of which is the name of the program. The error also stands for `--help` and
/// `--version`; hand it to [`report_usage`].
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let Arguments { source, command } = Arguments::try_parse_from(arguments)?;
    let client = |source: SourceArguments, (remote, task): (RemoteArguments, Task)| {
        let format = remote.format();
        Command::Client { access: remote.into_access(source.into_read_sources()), task, format }
    };
    Ok(match command.unwrap_or(TopCommand::Serve) {
        TopCommand::Serve => Command::Serve(source.into_sources(MissingFile::Create)),
        TopCommand::Config(ConfigCommand::Show { format }) => {
            Command::ConfigShow { sources: source.into_read_sources(), format: format.format() }
        }
        TopCommand::Config(ConfigCommand::Check { file, format }) if source.is_empty() => {
            Command::ConfigCheck { file, format: format.format() }
        }
        TopCommand::Config(ConfigCommand::Check { .. }) => {
            let message = "config check looks at the named file alone: leave the other flags out";
            return Err(definition().error(ErrorKind::ArgumentConflict, message));
        }
        TopCommand::Cluster(arguments) => {
            let (remote, action) = arguments.into_parts();
            let format = remote.format();
            Command::Cluster { access: remote.into_access(source.into_read_sources()), action, format }
        }
        TopCommand::Apply(arguments) => {
            let (remote, apply) = arguments.into_parts();
            let format = remote.format();
            Command::Apply { access: remote.into_access(source.into_read_sources()), apply, format }
        }
        TopCommand::Status(arguments) => client(source, arguments.into_parts()),
        TopCommand::Frontends(arguments) => client(source, arguments.into_parts()),
        TopCommand::Backends(arguments) => client(source, arguments.into_parts()),
        TopCommand::Keys(arguments) => client(source, arguments.into_parts()),
        TopCommand::Usage(arguments) => client(source, arguments.into_parts()),
        TopCommand::Models(arguments) => client(source, arguments.into_parts()),
        TopCommand::Sessions(arguments) => client(source, arguments.into_parts()),
        TopCommand::Export(arguments) => client(source, arguments.into_parts()),
        TopCommand::Try(arguments) => client(source, arguments.into_parts()),
        TopCommand::Top(arguments) => client(source, arguments.into_parts()),
        TopCommand::Doctor(arguments) => client(source, arguments.into_parts()),
        TopCommand::Healthcheck(format) => {
            Command::Healthcheck { sources: source.into_read_sources(), format: format.format() }
        }
        TopCommand::OpenApi => Command::OpenApi,
        TopCommand::Completions { shell } => Command::Completions(shell),
    })
}

/// All of the command line, as clap knows it.
pub(super) fn definition() -> clap::Command {
    Arguments::command()
}

/// Prints what [`parse`] answered instead of a command, and gives the exit code: 0 after help and version, 2 after
/// a usage error.
pub fn report_usage(error: &clap::Error) -> ExitCode {
    // There is nowhere left to report a closed terminal.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

// === SourceArguments ===

impl SourceArguments {
    fn is_empty(&self) -> bool {
        self.config.is_none()
            && self.listen.is_none()
            && self.data_directory.is_none()
            && self.traffic == TrafficArguments::default()
            && self.cluster == MembershipArguments::default()
    }

    /// For commands that write no settings. A file that was named is meant to exist; the default one need not.
    fn into_read_sources(self) -> Sources {
        let missing = if self.config.is_some() { MissingFile::Refuse } else { MissingFile::UseDefaults };
        self.into_sources(missing)
    }

    fn into_sources(self, missing: MissingFile) -> Sources {
        let file = self.config.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let TrafficArguments { trusted_proxies, otlp_endpoint, shutdown_grace_ms, shutdown_settle_ms } =
            self.traffic;
        let flags = Flags {
            listen: self.listen,
            data_directory: self.data_directory,
            trusted_proxies,
            otlp_endpoint,
            shutdown_grace_ms,
            shutdown_settle_ms,
            cluster: self.cluster.into(),
        };
        Sources::of_process(file, missing, flags)
    }
}

// === MembershipArguments ===

impl From<MembershipArguments> for ClusterFlags {
    fn from(arguments: MembershipArguments) -> Self {
        Self {
            listen: arguments.cluster_listen,
            advertise: arguments.advertise,
            peers: arguments.peers,
            join: arguments.join,
            secret: arguments.cluster_secret,
            secret_file: arguments.cluster_secret_file,
        }
    }
}

#[cfg(test)]
mod tests;
