//! `ollamaflow completions SHELL`: the script by which a shell completes our commands.

use std::io::{self, Write};

use clap_complete::Shell;

use super::{Verdict, args};

/// Prints it.
pub fn run(shell: Shell, output: &mut dyn Write) -> io::Result<Verdict> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::definition(), "ollamaflow", &mut script);
    output.write_all(&script)?;
    output.flush()?;
    Ok(Verdict::Good)
}
