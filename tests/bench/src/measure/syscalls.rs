//! System calls of running processes, counted by `strace -c` attached to them. The tool slows the processes down, so
//! its figures are counts and never times.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

/// How long strace may take to attach to all threads.
const ATTACH: Duration = Duration::from_secs(10);
/// How long it may take to write its table once told to stop.
const FINISH: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Calls by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SyscallCounts(BTreeMap<String, u64>);

/// Runs `load` while the system calls of `pids` and all their threads are counted.
///
/// # Errors
/// strace is missing, may not attach (a container without `CAP_SYS_PTRACE`), or writes no table.
pub(crate) async fn during<L: Future>(
    pids: &[u32],
    scratch: &Path,
    load: L,
) -> io::Result<(SyscallCounts, L::Output)> {
    let (table, messages) = (scratch.join("strace.txt"), scratch.join("strace.err"));
    let mut strace = Command::new("strace")
        .args(["-c", "-f", "-o"])
        .arg(&table)
        .args(pids.iter().flat_map(|pid| ["-p".to_owned(), pid.to_string()]))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&messages)?)
        .kill_on_drop(true)
        .spawn()?;
    let attached = tokio::time::timeout(ATTACH, async {
        while !all_attached(&std::fs::read_to_string(&messages).unwrap_or_default(), pids) {
            if strace.try_wait()?.is_some() {
                return Err(io::Error::other(std::fs::read_to_string(&messages)?));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    });
    attached.await.map_err(|_| io::Error::other("strace did not attach"))??;

    let output = load.await;

    let strace_pid = strace.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let Some(strace_pid) = strace_pid else {
        return Err(io::Error::other("strace ended by itself"));
    };
    kill_process(strace_pid, Signal::INT)?;
    drop(tokio::time::timeout(FINISH, strace.wait()).await);
    Ok((parse(&std::fs::read_to_string(&table)?), output))
}

/// strace names each process it has attached to, once.
fn all_attached(messages: &str, pids: &[u32]) -> bool {
    pids.iter().all(|pid| messages.lines().any(|line| line.contains(&format!("rocess {pid} attached"))))
}

/// The table of `strace -c`: `% seconds usecs/call calls [errors] name`.
fn parse(table: &str) -> SyscallCounts {
    let mut counts = BTreeMap::new();
    for line in table.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(calls), Some(&name)) = (fields.get(3), fields.last()) else { continue };
        if let Ok(calls) = calls.parse::<u64>()
            && fields.len() >= 5
            && name != "total"
        {
            *counts.entry(name.to_owned()).or_default() += calls;
        }
    }
    SyscallCounts(counts)
}

// === impl SyscallCounts ===

impl SyscallCounts {
    /// Calls per unit of work: what the longer of two runs made more than the shorter, for `units` more of work.
    /// Start-up and time-based calls cancel out. Sorted, most frequent first, without those below 0.005.
    pub(crate) fn per_unit(longer: &Self, shorter: &Self, units: u64) -> Vec<(String, f64)> {
        let mut rates: Vec<(String, f64)> = longer
            .0
            .iter()
            .map(|(name, &calls)| {
                let extra = calls.saturating_sub(shorter.0.get(name).copied().unwrap_or(0));
                (name.clone(), crate::summary::as_f64(extra) / crate::summary::as_f64(units.max(1)))
            })
            .filter(|(_, rate)| *rate >= 0.005)
            .collect();
        rates.sort_by(|(_, left), (_, right)| right.total_cmp(left));
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.012000           3      4000           writev
 40.00    0.008000           2      4100       100 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.020000           2      8100       100 total
";

    #[test]
    fn the_table_is_read_with_and_without_errors() {
        let counts = parse(TABLE);
        assert_eq!(counts.0, BTreeMap::from([("writev".to_owned(), 4_000), ("recvfrom".to_owned(), 4_100)]));
        assert_eq!(parse(""), SyscallCounts::default());
    }

    #[test]
    fn the_difference_of_two_runs_is_per_unit() {
        let shorter = parse(TABLE);
        let longer = parse(&TABLE.replace("4000 ", "6000 ").replace("4100 ", "6101 "));
        let rates = SyscallCounts::per_unit(&longer, &shorter, 1_000);
        assert_eq!(rates, [("recvfrom".to_owned(), 2.001), ("writev".to_owned(), 2.0)]);
    }

    #[test]
    fn attachment_is_complete_only_with_every_process() {
        let messages = "strace: Process 7 attached\nstrace: Process 71 attached with 3 threads\n";
        assert!(all_attached(messages, &[7, 71]));
        assert!(!all_attached(messages, &[7, 8]));
    }
}
