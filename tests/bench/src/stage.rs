//! What a run needs before it measures, and where its result goes: descriptors, CPUs, the upstream's process, the binary
//! under test, folders. Knows nothing of scenarios.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::proxies::process::contained;
use crate::suite::progress;
use crate::upstream;

/// Where `--save` puts the published result.
const PUBLISHED: &str = "docs/benchmarks";
/// Descriptors kept free for logs, listeners and the like when connections are shared out.
const SPARE_DESCRIPTORS: u64 = 500;
/// More connections than this no scenario needs, and proxies allocate for them.
const MAX_CONNECTIONS: u64 = 16_000;
/// How long the upstream may take to print its address.
const UPSTREAM_START: Duration = Duration::from_secs(10);

/// Why a run cannot begin or end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// The binary under test is missing.
    #[error(
        "{0} does not exist: build it with `cargo build --release -p ollamaflow` or name another with --ours"
    )]
    NoBinary(PathBuf),
    /// Pinning failed.
    #[error(
        "cannot pin to CPU {cpus}: {reason}; choose others with --load-cpus and --proxy-cpus, or use --no-pin"
    )]
    Pin {
        /// The CPUs asked for.
        cpus: String,
        /// taskset's reason.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// The upstream's process; ends with this value.
pub(crate) struct Upstream {
    pub(crate) addr: std::net::SocketAddr,
    _process: tokio::process::Child,
}

/// The absolute path of our binary, which must exist if it is measured: proxies run in folders of their own. Without a
/// name it is `ollamaflow` beside this binary.
pub(crate) fn binary(named: Option<&Path>, measured: bool) -> Result<PathBuf, StageError> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("ollamaflow"),
    };
    if !measured {
        return Ok(path);
    }
    path.canonicalize().map_err(|_| StageError::NoBinary(path))
}

/// The version of the measured gateway and, unless its binary was named, the state of the sources it was built from.
pub(crate) fn revision(named: Option<&Path>, binary: &Path) -> String {
    let first_line = |command: &mut Command| {
        let output = command.stderr(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
    };
    let version = first_line(Command::new(binary).arg("--version")).unwrap_or_default();
    let sources = match named {
        Some(path) => Some(format!("{} as named", path.display())),
        None => first_line(Command::new("git").args(["describe", "--always", "--dirty"])),
    };
    format!("{version}, {}", sources.as_deref().unwrap_or("of an unknown commit"))
}

/// The command as typed: `script` stands for this binary and its subcommand.
pub(crate) fn command_line(script: &str) -> String {
    let words = std::env::args().skip(2).map(|word| if word.is_empty() { "''".to_owned() } else { word });
    std::iter::once(script.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// `cpus` if there is to be pinned at all.
pub(crate) fn pinned(no_pin: bool, cpus: &str) -> Result<Option<String>, StageError> {
    if no_pin {
        return Ok(None);
    }
    // Fails early and with taskset's words, not inside the start of a proxy.
    taskset(&["-c", cpus, "true"]).map_err(|reason| StageError::Pin { cpus: cpus.to_owned(), reason })?;
    Ok(Some(cpus.to_owned()))
}

/// Pins this process, and what it starts from now on.
pub(crate) fn pin_self(cpus: &str) -> Result<(), StageError> {
    let own_pid = std::process::id().to_string();
    taskset(&["-a", "-c", "-p", cpus, &own_pid])
        .map_err(|reason| StageError::Pin { cpus: cpus.to_owned(), reason })
}

fn taskset(args: &[&str]) -> Result<(), String> {
    let output = Command::new("taskset").args(args).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// Raises the soft limit of descriptors to the hard one for this process and all it starts; the connections that a proxy
/// may hold with it.
pub(crate) fn connections() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let descriptors = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    descriptors.unwrap_or(u64::MAX).saturating_sub(SPARE_DESCRIPTORS).clamp(100, MAX_CONNECTIONS)
}

/// Starts the upstream as a process of its own.
pub(crate) async fn start_upstream(cpus: Option<&str>) -> io::Result<Upstream> {
    let words = contained(cpus);
    let (first, rest) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut process = tokio::process::Command::new(first)
        .args(rest)
        .arg(std::env::current_exe()?)
        .arg("upstream")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut line = String::new();
    tokio::time::timeout(UPSTREAM_START, BufReader::new(stdout).read_line(&mut line))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let addr = line.trim().strip_prefix(upstream::READY).and_then(|addr| addr.parse().ok());
    let addr = addr.ok_or_else(|| io::Error::other(format!("it printed {line:?} instead of its address")))?;
    Ok(Upstream { addr, _process: process })
}

/// Writes `NAME.json` and `NAME.md` into the folder of results (by default `bench` beside the profile's folder that holds
/// this binary), with `save` also where they are published, and the text to standard output.
pub(crate) fn publish(
    name: &str,
    out: Option<&Path>,
    save: bool,
    markdown: &str,
    json: &str,
) -> io::Result<()> {
    let results = if let Some(folder) = out {
        folder.to_owned()
    } else {
        let binary = std::env::current_exe()?;
        binary.ancestors().nth(2).unwrap_or(Path::new(".")).join("bench")
    };
    for folder in std::iter::once(results).chain(save.then(|| PUBLISHED.into())) {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{name}.json")), json)?;
        std::fs::write(folder.join(format!("{name}.md")), markdown)?;
        progress(&format!("wrote {0}/{name}.md and {0}/{name}.json", folder.display()));
    }
    io::stdout().write_all(markdown.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_binary_matters_only_if_it_is_measured() {
        let missing = Path::new("/nonexistent/ollamaflow");
        assert!(matches!(binary(Some(missing), true), Err(StageError::NoBinary(_))));
        assert!(binary(Some(missing), false).is_ok());
    }

    #[test]
    fn a_result_is_written_in_both_forms() {
        let folder = tempfile::tempdir().unwrap();
        publish("some", Some(folder.path()), false, "text\n", "{}\n").unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("some.md")).unwrap(), "text\n");
        assert_eq!(std::fs::read_to_string(folder.path().join("some.json")).unwrap(), "{}\n");
    }
}
