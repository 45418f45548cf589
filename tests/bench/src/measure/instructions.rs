//! User-space instructions counted by valgrind's callgrind: the same for the same work on any machine, however busy,
//! so they show a change that a noisy clock hides. The kernel's part is not in them.

use std::io;
use std::path::Path;

/// Whose instructions are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those of all processes and threads together.
    All,
    /// Those of each thread apart.
    EachThreads,
}

/// What to put before a command so that its instructions, and those of what it starts, are counted into `scratch`.
pub(crate) fn wrapper(scratch: &Path, whose: Whose) -> Vec<String> {
    vec![
        "valgrind".to_owned(),
        "--quiet".to_owned(),
        "--tool=callgrind".to_owned(),
        "--trace-children=yes".to_owned(),
        format!("--separate-threads={}", if whose == Whose::EachThreads { "yes" } else { "no" }),
        format!("--callgrind-out-file={}/callgrind.%p", scratch.display()),
    ]
}

/// The instructions of all processes that have ended since the wrapper was made; the files are removed.
///
/// # Errors
/// The folder cannot be read, or no process left a count.
pub(crate) fn collect(scratch: &Path) -> io::Result<u64> {
    taken(scratch)?.into_iter().reduce(|total, count| total + count).ok_or_else(no_count)
}

/// The same of the one thread (or process) that had most of them.
///
/// # Errors
/// As of [`collect`].
pub(crate) fn collect_busiest(scratch: &Path) -> io::Result<u64> {
    taken(scratch)?.into_iter().max().ok_or_else(no_count)
}

fn no_count() -> io::Error {
    io::Error::other("valgrind left no count")
}

fn taken(scratch: &Path) -> io::Result<Vec<u64>> {
    let mut counts = Vec::new();
    for entry in std::fs::read_dir(scratch)? {
        let path = entry?.path();
        let is_count = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("callgrind."));
        if is_count {
            counts.extend(parse(&std::fs::read_to_string(&path)?));
            std::fs::remove_file(&path)?;
        }
    }
    Ok(counts)
}

/// `summary:` or `totals:` of a callgrind file.
fn parse(text: &str) -> Option<u64> {
    text.lines().rev().find_map(|line| {
        line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:"))?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found() {
        assert_eq!(parse("events: Ir\nsummary: 12\nfn=(1)\n1 12\n\ntotals: 4021\n"), Some(4_021));
        assert_eq!(parse("events: Ir\nsummary: 12\n"), Some(12));
        assert_eq!(parse("events: Ir\n"), None);
    }

    #[test]
    fn counts_of_all_processes_are_added_and_removed() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("callgrind.1"), "totals: 3\n").unwrap();
        std::fs::write(scratch.path().join("callgrind.2"), "totals: 4\n").unwrap();
        assert_eq!(collect(scratch.path()).unwrap(), 7);
        assert!(collect(scratch.path()).is_err());
    }

    #[test]
    fn the_busiest_thread_is_the_one_with_most() {
        let scratch = tempfile::tempdir().unwrap();
        for (thread, count) in [("01", 3), ("02", 40), ("03", 5)] {
            let path = scratch.path().join(format!("callgrind.1-{thread}"));
            std::fs::write(path, format!("totals: {count}\n")).unwrap();
        }
        assert_eq!(collect_busiest(scratch.path()).unwrap(), 40);
        assert!(collect_busiest(scratch.path()).is_err());
    }
}
