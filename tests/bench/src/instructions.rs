//! The gate on user instructions: what one small request costs the node under valgrind, beside the number that was saved for
//! the same build profile. The same work as in `run --callgrind`; but only of the one worker thread, only requests, and a
//! verdict.
//!
//! The other threads do nothing for a request, and what they do for themselves is never twice the same: the store alone spins
//! for millions of instructions when it opens, and on a busy machine for more than all the requests take. The worker is
//! known by what it runs. Its count is the same within a third of a percent, on a busy machine as on a quiet one. It is another
//! one with another compiler, and with another C library or processor, whose `memcpy` is another.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::InstructionArgs;
use crate::load::request::Api;
use crate::measure::instructions::{self, Whose};
use crate::plan::COUNTING_CONCURRENCY;
use crate::proxies::{Logs, Site, Target};
use crate::stage::start_upstream;
use crate::suite::counting::{counted, small_requests};
use crate::suite::progress;
use crate::summary::as_f64;

/// The numbers that `--save` writes and `--check` compares with.
const PUBLISHED: &str = "docs/benchmarks/instructions.json";
/// How far a number may be from the saved one, in percent.
const TOLERANCE: f64 = 5.0;
/// Requests of the shorter and of the longer run. What both have in common, starts and ends and connections, cancels out.
const REQUESTS: [u64; 2] = [2_000, 10_000];
/// A function that only the worker of a node runs, which reads requests and writes answers.
const WORK: &str = "actix_http::h1::dispatcher";
/// Connections that a node may hold; no limit that the load comes near.
const MAX_CONNECTIONS: u64 = 1_000;

/// Why there is no number, or none that is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstructionError {
    /// valgrind, the upstream or a file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The saved numbers are none.
    #[error("{PUBLISHED} cannot be read: {0}")]
    Saved(#[from] serde_json::Error),
    /// The program that is measured is not there.
    #[error("{0} does not exist: name the node's binary with --ours")]
    NoBinary(PathBuf),
    /// There is nothing to compare with.
    #[error("{PUBLISHED} has no number for a build with {0}; measure and keep one with --save")]
    NoneSaved(Profile),
    /// The number is another one.
    #[error(
        "{measured} user instructions per request are {change:+.1} % of what was saved, {saved}: \
         if that is meant, keep the new number with --save; allowed are {TOLERANCE} %"
    )]
    Differs {
        /// What was measured.
        measured: u64,
        /// What was saved.
        saved: u64,
        /// How much more that is, in percent.
        change: f64,
    },
}

/// What the compiler was told: numbers of different profiles cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Profile(String);

/// The file.
#[derive(Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Saved {
    /// What the numbers are, for whoever opens the file.
    what: String,
    profiles: BTreeMap<Profile, Count>,
}

/// One number, and what it was measured with.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Count {
    instructions_per_request: u64,
    revision: String,
    rustc: String,
    valgrind: String,
}

/// Measures, and then compares or saves as asked.
///
/// # Errors
/// There is no number, or it is not what was saved.
pub(crate) async fn run(args: &InstructionArgs) -> Result<(), InstructionError> {
    let profile = Profile::of(|variable| std::env::var(variable).ok());
    let saved = Saved::read(Path::new(PUBLISHED))?;
    if args.check && !saved.profiles.contains_key(&profile) {
        return Err(InstructionError::NoneSaved(profile));
    }
    let measured = measure(args).await?;
    writeln!(io::stdout(), "{measured} user instructions per request ({profile})")?;
    if args.check {
        saved.check(&profile, measured)?;
        progress(&format!("within {TOLERANCE} % of the saved number"));
    }
    if args.save {
        saved.with(profile, measured).write(Path::new(PUBLISHED))?;
        progress(&format!("wrote {PUBLISHED}"));
    }
    Ok(())
}

/// Instructions per request, by the difference of two runs.
async fn measure(args: &InstructionArgs) -> Result<u64, InstructionError> {
    let upstream = start_upstream(None).await?;
    let site = Site {
        upstream: upstream.addr,
        workers: 1,
        max_connections: MAX_CONNECTIONS,
        cpus: None,
        ours: args.ours.canonicalize().map_err(|_| InstructionError::NoBinary(args.ours.clone()))?,
        api: Api::Ollama,
        logs: Logs::Plain,
        programs: None,
    };
    let [few, many] = REQUESTS;
    let shorter = count(&site, few, None).await?;
    let longer = count(&site, many, args.keep.as_deref()).await?;
    Ok(longer.saturating_sub(shorter) / (many - few))
}

/// All instructions of the worker of a node that serves so many requests. The file that tells of them goes to `keep`.
async fn count(site: &Site, requests: u64, keep: Option<&Path>) -> io::Result<u64> {
    progress(&format!("{requests} requests by {COUNTING_CONCURRENCY} clients, under valgrind"));
    let scratch = tempfile::tempdir()?;
    let load = async |addr| small_requests(addr, Api::Ollama, requests).await;
    counted(Target::Ours, site, scratch.path(), Whose::EachThreads, load).await?;
    if let Some(keep) = keep {
        std::fs::create_dir_all(keep)?;
        for entry in std::fs::read_dir(scratch.path())? {
            let entry = entry?;
            std::fs::copy(entry.path(), keep.join(entry.file_name()))?;
        }
    }
    instructions::collect_of(scratch.path(), WORK)
}

// === impl Profile ===

impl Profile {
    /// From the environment, by which Cargo takes it too, or as the workspace has it.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let or = |name: &str, default: &str| variable(name).unwrap_or_else(|| default.to_owned());
        Self(format!(
            "lto={} codegen-units={}",
            or("CARGO_PROFILE_RELEASE_LTO", "fat"),
            or("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
        ))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Saved ===

impl Saved {
    /// Nothing, if there is no file yet.
    fn read(path: &Path) -> Result<Self, InstructionError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(serde_json::from_str(&text)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e.into()),
        }
    }

    fn write(&self, path: &Path) -> Result<(), InstructionError> {
        Ok(std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// An improvement must be saved, too: else the next deterioration could take all of it back unnoticed.
    fn check(&self, profile: &Profile, measured: u64) -> Result<(), InstructionError> {
        let Some(count) = self.profiles.get(profile) else {
            return Err(InstructionError::NoneSaved(profile.clone()));
        };
        let rustc = first_line("rustc", &["-V"]);
        if rustc != count.rustc {
            progress(&format!("the saved number is of {}, this one of {rustc}", count.rustc));
        }
        let saved = count.instructions_per_request;
        if 100.0 * as_f64(measured.abs_diff(saved)) <= TOLERANCE * as_f64(saved) {
            Ok(())
        } else {
            let change = 100.0 * (as_f64(measured) / as_f64(saved.max(1)) - 1.0);
            Err(InstructionError::Differs { measured, saved, change })
        }
    }

    fn with(mut self, profile: Profile, measured: u64) -> Self {
        "User instructions of a node's worker thread for one small request (1 KiB in, 1 KiB out, 32 clients), \
         counted by scripts/callgrind"
            .clone_into(&mut self.what);
        let count = Count {
            instructions_per_request: measured,
            revision: first_line("git", &["describe", "--always", "--dirty"]),
            rustc: first_line("rustc", &["-V"]),
            valgrind: first_line("valgrind", &["--version"]),
        };
        self.profiles.insert(profile, count);
        self
    }
}

/// The first line that a tool prints; "unknown" if it cannot be asked.
fn first_line(tool: &str, args: &[&str]) -> String {
    let output = Command::new(tool).args(args).output().ok();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(variables: &[(&str, &str)]) -> Profile {
        Profile::of(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_profile_is_that_of_the_build() {
        assert_eq!(profile(&[]).0, "lto=fat codegen-units=1");
        let ci = [("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")];
        assert_eq!(profile(&ci).0, "lto=off codegen-units=16");
    }

    #[test]
    fn numbers_are_compared_within_their_profile_only() {
        let saved = Saved::default().with(profile(&[]), 100_000);
        for measured in [95_000, 100_000, 105_000] {
            assert!(saved.check(&profile(&[]), measured).is_ok(), "{measured}");
        }
        for measured in [94_900, 105_100] {
            let error = saved.check(&profile(&[]), measured).unwrap_err();
            assert!(matches!(error, InstructionError::Differs { .. }), "{measured}");
        }
        let other = profile(&[("CARGO_PROFILE_RELEASE_LTO", "off")]);
        assert!(matches!(saved.check(&other, 100_000), Err(InstructionError::NoneSaved(_))));
    }

    #[test]
    fn what_is_saved_is_read_again_and_other_profiles_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("instructions.json");
        assert_eq!(Saved::read(&path).unwrap(), Saved::default());
        let other = profile(&[("CARGO_PROFILE_RELEASE_LTO", "off")]);
        Saved::default().with(profile(&[]), 1).write(&path).unwrap();
        Saved::read(&path).unwrap().with(other.clone(), 2).write(&path).unwrap();
        let saved = Saved::read(&path).unwrap();
        let numbers = |profile: &Profile| saved.profiles[profile].instructions_per_request;
        assert_eq!((numbers(&profile(&[])), numbers(&other)), (1, 2));
    }
}
