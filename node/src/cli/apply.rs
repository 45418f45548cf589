//! `ollamaflow apply FILE`: puts the objects of a file into the catalog of a running node, all at once or not at all.
//!
//! The catalog is read, merged here, and written back on the condition that nobody changed it in between; if
//! somebody did, all of it is done again.

mod merge;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use self::merge::{Fate, Line, Objects};
use super::remote::{self, Access, Answer, Call, Remote, RemoteError};
use super::{AnswerFormat, Verdict, files};

/// How often the catalog is read and written before others are left the field.
const MAX_ATTEMPTS: u32 = 5;

/// HTTP status of a write whose condition does not hold.
const PRECONDITION_FAILED: u16 = 412;

/// Asks a node to pass over properties that it does not know.
const LENIENT_HEADER: &str = "x-ollamaflow-lenient";

/// What to apply, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apply {
    /// The file; `-` for the standard input.
    pub file: PathBuf,
    /// Whether objects that are not in the file are deleted.
    pub prune: bool,
    /// Whether to change nothing and only tell what would change.
    pub dry_run: bool,
    /// Whether unknown properties are passed over.
    pub lenient: bool,
}

/// Applies the file; what became of each object goes to `output`, a failure to `errors`.
pub fn run(
    access: Access,
    apply: &Apply,
    format: AnswerFormat,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Verdict> {
    let prepared = read_objects(apply).and_then(|file| Ok((file, access.connect()?)));
    let printed =
        prepared.and_then(|(file, remote)| remote::block_on(perform(&remote, apply, format, &file)));
    remote::print(printed, output, errors)
}

fn read_objects(apply: &Apply) -> Result<Objects, RemoteError> {
    let text = files::read(&apply.file)?;
    Objects::parse(&text)
        .map_err(|error| RemoteError::Objects(format!("{} {error}", files::name(&apply.file))))
}

/// What is to be printed.
async fn perform(
    remote: &Remote,
    apply: &Apply,
    format: AnswerFormat,
    file: &Objects,
) -> Result<String, RemoteError> {
    for _ in 0..MAX_ATTEMPTS {
        let stored = remote.send(Call::get("/v1.0/catalog")).await?;
        let before = objects(&stored)?;
        let merged = before.merged(file, apply.prune);
        let path = if apply.dry_run { "/v1.0/catalog?validate=true" } else { "/v1.0/catalog" };
        let mut call = Call::put(path).header("if-match", &condition(&stored)?).json(&merged.to_body());
        if apply.lenient {
            call = call.header(LENIENT_HEADER, "true");
        }
        let answer = match remote.send(call).await {
            Err(RemoteError::Refused { status: PRECONDITION_FAILED, .. }) => continue,
            other => other?,
        };
        // A node that answers without the objects took what it was sent.
        let after = Objects::parse(&answer.body).unwrap_or(merged);
        let lines = before.compared(&after, file);
        return Ok(match format {
            AnswerFormat::Text => report(&lines, apply.dry_run, revision(&answer)),
            AnswerFormat::Json => format!("{:#}", document(&lines, apply.dry_run, revision(&answer))),
        });
    }
    Err(RemoteError::Contended)
}

/// The objects of the node.
fn objects(answer: &Answer) -> Result<Objects, RemoteError> {
    Objects::parse(&answer.body).map_err(|error| answer.unusable(&format!("the catalog {error}")))
}

/// The condition that the catalog is still the one that was read.
fn condition(stored: &Answer) -> Result<String, RemoteError> {
    let made = || revision(stored).map(|revision| format!("\"{revision}\""));
    stored.etag.clone().or_else(made).ok_or_else(|| stored.unusable("the catalog has no revision"))
}

fn revision(answer: &Answer) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        revision: u64,
    }
    answer.read::<Body>().ok().map(|body| body.revision)
}

/// The same for programs.
fn document(lines: &[Line], dry_run: bool, revision: Option<u64>) -> Value {
    let objects = lines.iter().map(|line| {
        json!({
            "Kind": line.kind.name(),
            "Identifier": line.identifier,
            "Fate": format!("{:?}", line.fate),
            "InFile": line.is_in_file,
        })
    });
    json!({
        "DryRun": dry_run,
        "Revision": revision.filter(|_| !dry_run),
        "Objects": objects.collect::<Vec<_>>(),
    })
}

/// A line for each object that the file has or that was deleted, and the sum.
fn report(lines: &[Line], dry_run: bool, revision: Option<u64>) -> String {
    let mut text = String::new();
    for line in lines.iter().filter(|line| line.is_in_file || line.fate != Fate::Unchanged) {
        let fate = match (line.fate, dry_run) {
            (Fate::Created, false) => "created",
            (Fate::Created, true) => "would be created",
            (Fate::Changed, false) => "changed",
            (Fate::Changed, true) => "would be changed",
            (Fate::Unchanged, _) => "unchanged",
            (Fate::Deleted, false) => "deleted",
            (Fate::Deleted, true) => "would be deleted",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {}: {fate}", line.kind.name(), remote::printable(&line.identifier));
    }
    let count = |fate| lines.iter().filter(|line| line.fate == fate).count();
    let left = lines.iter().filter(|line| !line.is_in_file && line.fate == Fate::Unchanged).count();
    let _ = write!(
        text,
        "{} created, {} changed, {} unchanged, {} deleted, {left} not in the file and left alone",
        count(Fate::Created),
        count(Fate::Changed),
        count(Fate::Unchanged) - left,
        count(Fate::Deleted),
    );
    match revision {
        _ if dry_run => text.push_str(" (dry run: nothing was written)"),
        Some(revision) => {
            let _ = write!(text, " (revision {revision})");
        }
        None => {}
    }
    text
}

#[cfg(test)]
mod tests;
