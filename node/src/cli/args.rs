//! The arguments, by clap, turned into the inputs of the settings.

mod remote;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use ollamaflow_protocol::object::Secret;

use self::remote::{ApplyArguments, ClusterArguments};
use super::apply::Apply;
use super::cluster::{AnswerFormat, ClusterAction};
use super::remote::Access;
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
        format: ShowFormat,
    },
    /// Check a settings file.
    ConfigCheck {
        /// The file.
        file: PathBuf,
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
    },
    /// Ask the node on this machine whether it is ready.
    Healthcheck(Sources),
}

/// How `config show` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowFormat {
    /// A line for each setting.
    Text,
    /// One JSON object.
    Json,
}

/// A load balancer for Ollama and OpenAI-compatible servers.
#[derive(Debug, Parser)]
#[command(name = "ollamaflow", version, max_term_width = 100)]
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
    /// Look at the cluster of a running node, or change it
    Cluster(ClusterArguments),
    /// Put the frontends and backends of a file into the catalog of a running node, all or none
    Apply(ApplyArguments),
    /// Ask the node on this machine whether it is ready: exit code 0 if it is
    Healthcheck,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print each setting with its effective value and where it came from; secrets are not shown
    Show {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check a settings file on its own: print `ok`, or every error with its place
    Check {
        /// The file
        file: PathBuf,
    },
}

// === parsing ===

/// Reads the arguments, the first of which is the name of the program. The error also stands for `--help` and
/// `--version`; hand it to [`report_usage`].
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let Arguments { source, command } = Arguments::try_parse_from(arguments)?;
    match command.unwrap_or(TopCommand::Serve) {
        TopCommand::Serve => Ok(Command::Serve(source.into_sources(MissingFile::Create))),
        TopCommand::Config(ConfigCommand::Show { json }) => {
            let format = if json { ShowFormat::Json } else { ShowFormat::Text };
            Ok(Command::ConfigShow { sources: source.into_read_sources(), format })
        }
        TopCommand::Cluster(arguments) => {
            let (remote, action, format) = arguments.into_parts();
            let access = remote.into_access(source.into_read_sources());
            Ok(Command::Cluster { access, action, format })
        }
        TopCommand::Apply(arguments) => {
            let (remote, apply) = arguments.into_parts();
            Ok(Command::Apply { access: remote.into_access(source.into_read_sources()), apply })
        }
        TopCommand::Config(ConfigCommand::Check { file }) if source.is_empty() => {
            Ok(Command::ConfigCheck { file })
        }
        TopCommand::Config(ConfigCommand::Check { .. }) => {
            let message = "config check looks at the named file alone: leave the other flags out";
            Err(Arguments::command().error(ErrorKind::ArgumentConflict, message))
        }
        TopCommand::Healthcheck => Ok(Command::Healthcheck(source.into_read_sources())),
    }
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
        let TrafficArguments { trusted_proxies, shutdown_grace_ms, shutdown_settle_ms } = self.traffic;
        let flags = Flags {
            listen: self.listen,
            data_directory: self.data_directory,
            trusted_proxies,
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
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        parse(std::iter::once("ollamaflow").chain(line.split_whitespace()).map(OsString::from))
    }

    fn served(line: &str) -> Sources {
        match parsed(line).unwrap() {
            Command::Serve(sources) => sources,
            other => panic!("{line} is {other:?}"),
        }
    }

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_command_serves_with_the_default_file() {
        let sources = served("");
        assert_eq!(sources.file, PathBuf::from("./ollamaflow.json"));
        assert_eq!((sources.missing_file, sources.flags), (MissingFile::Create, Flags::default()));
    }

    #[test]
    fn flags_work_with_and_without_the_command_and_on_either_side_of_it() {
        for line in [
            "--config a.json --listen [::1]:8080 --data-directory d",
            "serve --config a.json --listen [::1]:8080 --data-directory d",
            "--config a.json serve --data-directory=d --listen=[::1]:8080",
        ] {
            let sources = served(line);
            assert_eq!(sources.file, PathBuf::from("a.json"));
            assert_eq!(sources.flags.listen, Some(ListenAddress { host: "::1".to_owned(), port: 8080 }));
            assert_eq!(sources.flags.data_directory.as_deref(), Some("d"));
        }
    }

    #[test]
    fn the_flags_of_proxies_and_stopping_are_settings() {
        let flags =
            served("--trusted-proxies 10.0.0.0/8,::1 --shutdown-grace-ms 1 --shutdown-settle-ms 2").flags;
        assert_eq!(flags.trusted_proxies, Some(["10.0.0.0/8", "::1"].map(str::to_owned).to_vec()));
        assert_eq!((flags.shutdown_grace_ms, flags.shutdown_settle_ms), (Some(1), Some(2)));
    }

    #[test]
    fn the_flags_of_the_cluster_are_settings() {
        let line = "--cluster-listen *:1 --advertise a:1 --peers a:1,b --peers c --join d \
                    --cluster-secret s --cluster-secret-file f";
        let flags = served(line).flags.cluster;
        let text = |text: &str| Some(text.to_owned());
        assert_eq!((flags.listen, flags.advertise, flags.join), (text("*:1"), text("a:1"), text("d")));
        assert_eq!(flags.peers, Some(["a:1", "b", "c"].map(str::to_owned).to_vec()));
        assert_eq!((flags.secret, flags.secret_file), (Some(Secret::new("s")), text("f")));
        assert_eq!(served("serve").flags.cluster, ClusterFlags::default());
    }

    #[test]
    fn show_writes_nothing_and_wants_a_named_file_to_exist() {
        let shown = |line: &str| match parsed(line).unwrap() {
            Command::ConfigShow { sources, format } => (sources.missing_file, format),
            other => panic!("{line} is {other:?}"),
        };
        assert_eq!(shown("config show"), (MissingFile::UseDefaults, ShowFormat::Text));
        assert_eq!(shown("config show --json --config a.json"), (MissingFile::Refuse, ShowFormat::Json));
    }

    #[test]
    fn the_commands_for_a_running_node_say_what_which_and_how() {
        let cluster = |line: &str| match parsed(line).unwrap() {
            Command::Cluster { access, action, format } => (access, action, format),
            other => panic!("{line} is {other:?}"),
        };
        let (access, action, format) = cluster("cluster status --json --server http://a:1 --token t");
        assert_eq!((access.server.as_deref(), access.token), (Some("http://a:1"), Some(Secret::new("t"))));
        assert_eq!((action, format), (ClusterAction::Status, AnswerFormat::Json));
        assert_eq!(access.sources.missing_file, MissingFile::UseDefaults);
        let (access, action, format) = cluster("--config c.json cluster --server b members");
        assert_eq!((access.server.as_deref(), access.token), (Some("b"), None));
        assert_eq!((action, format), (ClusterAction::Members, AnswerFormat::Text));
        assert_eq!(access.sources.missing_file, MissingFile::Refuse);
        for (line, expected) in [
            ("cluster add Node4", ClusterAction::Add { address: "node4:43412".to_owned() }),
            ("cluster remove 3", ClusterAction::Remove { id: 3 }),
            ("cluster transfer-leader", ClusterAction::TransferLeader { to: None }),
            ("cluster transfer-leader 2", ClusterAction::TransferLeader { to: Some(2) }),
            ("cluster snapshot", ClusterAction::Snapshot),
            ("cluster restore -", ClusterAction::Restore { file: "-".into() }),
            (
                "cluster backup b.json --include-secrets",
                ClusterAction::Backup { file: "b.json".into(), include_secrets: true, force: false },
            ),
            (
                "cluster backup --force b.json",
                ClusterAction::Backup { file: "b.json".into(), include_secrets: false, force: true },
            ),
        ] {
            assert_eq!(cluster(line).1, expected, "{line}");
        }
    }

    #[test]
    fn apply_takes_a_file_and_switches() {
        let applied = |line: &str| match parsed(line).unwrap() {
            Command::Apply { access, apply } => (access.server, apply),
            other => panic!("{line} is {other:?}"),
        };
        let plain = Apply { file: "-".into(), prune: false, dry_run: false, lenient: false };
        assert_eq!(applied("apply -"), (None, plain));
        let all = Apply { file: "a.json".into(), prune: true, dry_run: true, lenient: true };
        let line = "apply --server c --prune a.json --dry-run --lenient";
        assert_eq!(applied(line), (Some("c".to_owned()), all));
    }

    #[test]
    fn misuse_is_a_usage_error() {
        for line in [
            "--listen localhost",
            "--listen ::1:80",
            "frobnicate",
            "config",
            "config check",
            "config check a.json --listen *:1",
            "--port 1",
            "config check a.json --peers a",
            "config check a.json --shutdown-grace-ms 1",
            "--shutdown-grace-ms -1",
            "cluster",
            "cluster add *:43412",
            "cluster remove one",
            "cluster backup",
            "apply",
        ] {
            assert_eq!(parsed(line).unwrap_err().exit_code(), 2, "{line}");
        }
        for line in ["--help", "--version", "config show --help", "cluster --help", "apply --help"] {
            assert_eq!(parsed(line).unwrap_err().exit_code(), 0, "{line}");
        }
    }
}
