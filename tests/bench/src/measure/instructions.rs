//! User-space instructions counted by valgrind's callgrind: the same for the same work on any machine, so they show a
//! change that a noisy clock hides. The kernel's part is not in them.
//!
//! A busy machine still shows where threads wait for each other by spinning, as sled's do while it opens: what they burn
//! grows with the wait. Whoever wants one number on any machine therefore asks for the thread that did the work
//! ([`collect_of`]).

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
        // Valgrind runs one thread at a time, and unless told whose turn it is, one that spins until another has gone on can
        // keep that other from running for minutes.
        "--fair-sched=yes".to_owned(),
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
    take(scratch, |_| true)?.into_iter().reduce(|total, count| total + count).ok_or_else(no_count)
}

/// The same of the one thread (or process) that had most of them, among those that ran a function whose name has
/// `function` in it.
///
/// # Errors
/// As of [`collect`], or none of them ran such a function.
pub(crate) fn collect_of(scratch: &Path, function: &str) -> io::Result<u64> {
    let ran = |text: &str| text.lines().any(|line| line.starts_with("fn=(") && line.contains(function));
    let counts = take(scratch, ran)?;
    counts.into_iter().max().ok_or_else(|| io::Error::other(format!("valgrind saw no thread run {function}")))
}

fn no_count() -> io::Error {
    io::Error::other("valgrind left no count")
}

/// The counts of the files that are `wanted` by what is in them; all files are removed.
fn take(scratch: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<u64>> {
    let mut counts = Vec::new();
    for entry in std::fs::read_dir(scratch)? {
        let path = entry?.path();
        let is_count = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("callgrind."));
        if is_count {
            let text = std::fs::read_to_string(&path)?;
            if wanted(&text) {
                counts.extend(parse(&text));
            }
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
    fn a_thread_that_span_longer_is_not_taken_for_the_one_that_worked() {
        let scratch = tempfile::tempdir().unwrap();
        let threads = [
            ("01", "fn=(1) main", 3),
            ("02", "fn=(1) sled::lazy::Lazy\ncfn=(2) served::request", 900),
            ("03", "fn=(7) served::request", 40),
            ("04", "fn=(7) served::request'2", 5),
        ];
        for (thread, function, count) in threads {
            let path = scratch.path().join(format!("callgrind.1-{thread}"));
            std::fs::write(path, format!("{function}\n1 {count}\ntotals: {count}\n")).unwrap();
        }
        assert_eq!(collect_of(scratch.path(), "served::request").unwrap(), 40);
        assert!(collect_of(scratch.path(), "served::request").is_err(), "the files are removed");
    }
}
