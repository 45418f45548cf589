//! `config show` and `config check`: settings on the standard output.
//!
//! Both write to the streams they are given and answer with the exit code: 0 for good settings, 1 for faulty ones.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{AnswerFormat, Verdict};
use crate::settings::{self, Loaded, SettingsError, Sources};

// === commands ===

/// Prints each setting with its effective value and origin on `output`; notices and errors go to `errors`.
pub fn show(
    sources: Sources,
    format: AnswerFormat,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Verdict> {
    let loaded = match settings::load(sources) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error, errors),
    };
    match format {
        AnswerFormat::Text => show_text(&loaded, output)?,
        AnswerFormat::Json => show_json(&loaded, output)?,
    }
    for notice in &loaded.notices {
        writeln!(errors, "note: {notice}")?;
    }
    output.flush()?;
    Ok(Verdict::Good)
}

/// Checks `file` alone, without environment and flags: prints `ok` and what is worth knowing on `output`, or every
/// error on `errors`. As JSON both are on `output`.
pub fn check(
    file: PathBuf,
    format: AnswerFormat,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Verdict> {
    let loaded = settings::load(Sources::of_file(file));
    if format == AnswerFormat::Json {
        let (notices, faults) = match &loaded {
            Ok(loaded) => (loaded.notices.clone(), Vec::new()),
            Err(error) => (Vec::new(), error.lines()),
        };
        let document = json!({ "Valid": loaded.is_ok(), "Notices": notices, "Errors": faults });
        writeln!(output, "{document:#}")?;
        return Ok(if loaded.is_ok() { Verdict::Good } else { Verdict::Faulty });
    }
    match loaded {
        Ok(loaded) => {
            writeln!(output, "ok")?;
            for notice in &loaded.notices {
                writeln!(output, "note: {notice}")?;
            }
            output.flush()?;
            Ok(Verdict::Good)
        }
        Err(error) => fail(&error, errors),
    }
}

fn fail(error: &SettingsError, errors: &mut dyn Write) -> io::Result<Verdict> {
    for line in error.lines() {
        writeln!(errors, "error: {line}")?;
    }
    Ok(Verdict::Faulty)
}

fn show_text(loaded: &Loaded, output: &mut dyn Write) -> io::Result<()> {
    for (path, value, origin) in loaded.effective() {
        match value {
            // Objects are long: each gets a line of its own.
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for (index, item) in items.iter().enumerate() {
                    writeln!(output, "{path}[{index}] = {item}  ({origin})")?;
                }
            }
            value => writeln!(output, "{path} = {value}  ({origin})")?,
        }
    }
    Ok(())
}

fn show_json(loaded: &Loaded, output: &mut dyn Write) -> io::Result<()> {
    let origins: Map<String, Value> =
        loaded.origins.iter().map(|(path, origin)| (path.to_string(), origin.to_string().into())).collect();
    let document = json!({ "File": loaded.file, "Settings": loaded.settings, "Origins": origins });
    serde_json::to_writer_pretty(&mut *output, &document)?;
    writeln!(output)
}

#[cfg(test)]
mod tests;
