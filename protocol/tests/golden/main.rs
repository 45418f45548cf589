//! What upstream's compatibility layer does, done by ours, case by case: `vectors/ollama-compat.json` is what it was
//! observed to do, `vectors/more-compat.json` what it does by the tables of the specification.
//!
//! More cases of the same form are run if `OLLAMAFLOW_VECTORS` names a file of them, or the directory of such files.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

mod allowed;
mod case;
mod compare;
mod pattern;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::allowed::ROWS;
use crate::case::{Case, File};

const NAME: &str = "ollama-compat.json";
const MORE: &str = "more-compat.json";

fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    [NAME, MORE].into_iter().flat_map(|name| File::read(&directory.join(name)).cases).collect()
}

/// Cases that are kept elsewhere. Of the files of a directory, all that have cases of this form.
fn more_cases() -> Vec<Case> {
    let Some(path) = std::env::var_os("OLLAMAFLOW_VECTORS").map(PathBuf::from) else { return Vec::new() };
    assert!(path.exists(), "{}", path.display());
    if path.is_file() {
        return File::of_cases(&path).map(|file| file.cases).unwrap_or_default();
    }
    let entries = std::fs::read_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths.iter().filter_map(|path| File::of_cases(path)).flat_map(|file| file.cases).collect()
}

/// Runs the cases; what differs and is not allowed to, and the rows that were needed.
fn run(cases: Vec<Case>) -> (Vec<String>, HashSet<usize>) {
    let (mut wrong, mut needed) = (Vec::new(), HashSet::new());
    for case in cases {
        for difference in compare::differences(&case, &case.run()) {
            match ROWS.iter().position(|row| row.allows(&case, &difference)) {
                Some(row) => drop(needed.insert(row)),
                None => wrong.push(format!("{}: {difference}", case.name)),
            }
        }
    }
    (wrong, needed)
}

#[test]
fn every_case_is_as_upstream_has_it_or_better_on_purpose() {
    let (wrong, needed) = run(cases());
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
    for (index, row) in ROWS.iter().enumerate() {
        assert!(needed.contains(&index), "the row \"{}\" is not needed", row.name());
    }
}

#[test]
fn cases_kept_elsewhere_are_too() {
    let (wrong, _) = run(more_cases());
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_stream_cut_anywhere_gives_the_same_bytes() {
    let mut streams = 0;
    for case in cases().into_iter().chain(more_cases()) {
        let Some(whole) = case.stream(|bytes| vec![bytes]) else { continue };
        streams += 1;
        for at in 0..=case.stream_len() {
            let cut = case.stream(|bytes| vec![&bytes[..at], &bytes[at..]]);
            assert_eq!(cut.as_ref(), Some(&whole), "{} at {at}", case.name);
        }
        let single = case.stream(|bytes| bytes.chunks(1).collect());
        assert_eq!(single.as_ref(), Some(&whole), "{}", case.name);
    }
    assert!(streams > 15, "{streams}");
}
