//! CPU time and memory of a process and its descendants, from `/proc`.
//!
//! CPU time is the scheduler's own sum per thread (`schedstat`, nanoseconds, user and system together): the tick-based
//! `utime`/`stime` of `stat` have a resolution of 10 ms and are only the fallback.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Add as _;

use crate::clock::CpuTime;

/// Nanoseconds in one tick of `/proc/PID/stat` (100 a second on every Linux this runs on).
const TICK_NS: u64 = 10_000_000;

/// A process and what it had started when it was looked at.
#[derive(Debug, Clone)]
pub(crate) struct ProcessTree {
    pids: Vec<u32>,
}

/// The fields of `/proc/PID/stat` that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    cpu_ticks: u64,
}

// === impl ProcessTree ===

impl ProcessTree {
    /// `root` and its descendants of this moment.
    ///
    /// # Errors
    /// `/proc` cannot be listed, or `root` does not exist.
    pub(crate) fn of(root: u32) -> io::Result<Self> {
        let mut parents = BTreeMap::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process that ended meanwhile has no file any more.
            if let Some(stat) =
                fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(parse_stat)
            {
                parents.insert(pid, stat.parent);
            }
        }
        if !parents.contains_key(&root) {
            return Err(io::Error::other(format!("process {root} has ended")));
        }
        Ok(Self { pids: descendants(root, &parents) })
    }

    /// The process ids, the root first.
    pub(crate) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// CPU time so far. Processes that have ended count nothing.
    pub(crate) fn cpu_time(&self) -> CpuTime {
        self.pids.iter().map(|&pid| process_cpu_time(pid)).fold(CpuTime::default(), CpuTime::add)
    }

    /// Resident memory in KiB. Pages shared by two processes count twice, which a difference cancels.
    pub(crate) fn rss_kib(&self) -> u64 {
        self.pids.iter().map(|&pid| process_rss_kib(pid)).sum()
    }
}

fn descendants(root: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![root];
    let mut seen = BTreeSet::from([root]);
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        for (&pid, _) in parents.iter().filter(|&(_, &of)| of == parent) {
            if seen.insert(pid) {
                found.push(pid);
            }
        }
    }
    found
}

fn process_cpu_time(pid: u32) -> CpuTime {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let scheduled: Option<CpuTime> = threads
        .map(|thread| parse_schedstat(&fs::read_to_string(thread.path().join("schedstat")).ok()?))
        .try_fold(CpuTime::default(), |sum, time| Some(sum + time?));
    match scheduled {
        Some(time) if time.ran_ns > 0 => time,
        _ => fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .and_then(|text| parse_stat(&text))
            .map_or_else(CpuTime::default, |stat| CpuTime { ran_ns: stat.cpu_ticks * TICK_NS, waited_ns: 0 }),
    }
}

fn process_rss_kib(pid: u32) -> u64 {
    // Unlike `statm`, whose counters the kernel batches per CPU, this walks the page tables and is exact.
    fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .ok()
        .and_then(|text| parse_rss_kib(&text, "Rss:"))
        .or_else(|| parse_rss_kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:"))
        .unwrap_or(0)
}

/// `schedstat`: nanoseconds on a CPU, nanoseconds ready but waiting, number of slices.
fn parse_schedstat(text: &str) -> Option<CpuTime> {
    let mut fields = text.split_ascii_whitespace();
    Some(CpuTime { ran_ns: fields.next()?.parse().ok()?, waited_ns: fields.next()?.parse().ok()? })
}

/// `pid (name) state ppid …`, where the name may hold anything, also spaces and brackets.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // Counted from the state, which is field 3 of the manual: ppid is 4, utime 14, stime 15.
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, cpu_ticks: number(11)? + number(12)? })
}

/// The number of KiB in the line that begins with `label`.
fn parse_rss_kib(text: &str, label: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(label)?.trim().strip_suffix("kB")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_tells_running_from_waiting() {
        assert_eq!(parse_schedstat("48662 46799 2\n"), Some(CpuTime { ran_ns: 48_662, waited_ns: 46_799 }));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn a_process_name_with_brackets_does_not_shift_the_fields() {
        let text = "12 (a) b) c) S 7 12 12 0 -1 4194304 100 0 0 0 30 12 0 0 20 0 1 0 100 0 0";
        assert_eq!(parse_stat(text), Some(Stat { parent: 7, cpu_ticks: 42 }));
        assert_eq!(parse_stat("12 (a) S 7"), None);
    }

    #[test]
    fn resident_memory_is_read_from_either_file() {
        let rollup =
            "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:            5132 kB\nPss:            1000 kB\n";
        assert_eq!(parse_rss_kib(rollup, "Rss:"), Some(5_132));
        assert_eq!(parse_rss_kib("Name: x\nVmRSS:\t  640 kB\n", "VmRSS:"), Some(640));
        assert_eq!(parse_rss_kib("Name: x\n", "VmRSS:"), None);
    }

    #[test]
    fn descendants_are_found_across_generations() {
        let parents = BTreeMap::from([(1, 0), (10, 1), (11, 10), (12, 10), (13, 12), (20, 1)]);
        assert_eq!(descendants(10, &parents), [10, 11, 12, 13]);
        assert_eq!(descendants(20, &parents), [20]);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let tree = ProcessTree::of(std::process::id()).unwrap();
        assert_eq!(tree.pids()[0], std::process::id());
        assert!(tree.rss_kib() > 0);
        assert!(tree.cpu_time().ran_ns > 0);
    }
}
