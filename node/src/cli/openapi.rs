//! `ollamaflow openapi`: the description of the API, without a running node.

use std::io::{self, Write};

use super::Verdict;
use crate::app;

/// Prints it, indented.
pub fn run(output: &mut dyn Write) -> io::Result<Verdict> {
    serde_json::to_writer_pretty(&mut *output, &app::openapi())?;
    writeln!(output)?;
    output.flush()?;
    Ok(Verdict::Good)
}
