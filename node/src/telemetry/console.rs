//! The console: standard error.

use std::io::{self, IsTerminal as _, Write as _};

use super::queue::{Sink, Written};
use crate::settings::Logging;

/// Most bytes that wait for whoever reads the console.
pub(super) const BOUND: usize = 1024 * 1024;

/// Standard error.
pub(super) struct Console;

/// Whether lines are coloured: on a terminal, unless its user wants none (<https://no-color.org>).
pub(super) fn has_colors(settings: &Logging) -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    settings.enable_colors && !unwanted && io::stderr().is_terminal()
}

impl Sink for Console {
    fn write(&mut self, records: &[u8], count: u64) -> Written {
        let lost = if io::stderr().write_all(records).is_ok() { 0 } else { count };
        Written { lost, rest: None }
    }
}
