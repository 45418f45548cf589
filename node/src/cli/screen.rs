//! What is known of the terminal: how wide it is, whether it has colours, whether somebody watches it.
//!
//! In: the variables and the streams of the process, looked at once. Out: plain facts, so that what is printed follows
//! from them alone and can be tested.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};

use comfy_table::Color;

/// Colours that mean something; nothing is told by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// Not as it should be.
    Bad,
    /// Of no importance.
    Faint,
    /// As other text.
    Plain,
}

/// The terminal, or what stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns; none if there is no terminal, and then no limit either.
    pub(super) width: Option<u16>,
    /// Whether colours are shown.
    pub(super) has_colour: bool,
    /// Whether the output is a terminal.
    pub(super) is_terminal: bool,
    /// Whether somebody sees progress, which is shown on the standard error.
    pub(super) shows_progress: bool,
}

// === Screen ===

impl Screen {
    /// The one of this process.
    pub fn of_process() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let variable = std::env::var_os;
        let measured = || is_terminal.then(crossterm::terminal::size)?.ok().map(|(width, _)| width);
        Self {
            width: width(variable("COLUMNS").as_deref()).or_else(measured).filter(|width| *width > 0),
            has_colour: is_terminal
                && has_colour(variable("NO_COLOR").as_deref(), variable("TERM").as_deref()),
            is_terminal,
            shows_progress: io::stderr().is_terminal(),
        }
    }

    /// No terminal: no colours, no limit.
    #[cfg(test)]
    pub(super) const fn none() -> Self {
        Self { width: None, has_colour: false, is_terminal: false, shows_progress: false }
    }

    /// The text in that colour, if there are colours.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Plain => return text.to_owned(),
        };
        if self.has_colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

// === Tone ===

impl Tone {
    /// For tables.
    pub(super) const fn colour(self) -> Option<Color> {
        match self {
            Self::Good => Some(Color::DarkGreen),
            Self::Doubtful => Some(Color::DarkYellow),
            Self::Bad => Some(Color::DarkRed),
            Self::Faint => Some(Color::DarkGrey),
            Self::Plain => None,
        }
    }
}

/// A number of things, in words.
pub(super) fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// `COLUMNS`, where somebody has set it.
fn width(columns: Option<&OsStr>) -> Option<u16> {
    columns?.to_str()?.trim().parse().ok()
}

/// By <https://no-color.org>: any value but an empty one switches colours off.
fn has_colour(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_off_when_somebody_says_so() {
        let asked = |no_color: Option<&str>, term: Option<&str>| {
            has_colour(no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(asked(None, None) && asked(Some(""), Some("xterm")));
        assert!(!asked(Some("1"), Some("xterm")) && !asked(None, Some("dumb")));
    }

    #[test]
    fn the_width_is_a_number_or_not_known() {
        let read = |text: &str| width(Some(OsStr::new(text)));
        assert_eq!((read("80"), read("wide"), read(""), width(None)), (Some(80), None, None, None));
    }

    #[test]
    fn a_text_is_painted_only_where_there_are_colours() {
        let plain = Screen::none();
        let coloured = Screen { has_colour: true, ..plain };
        assert_eq!(plain.paint(Tone::Bad, "down"), "down");
        assert_eq!(coloured.paint(Tone::Bad, "down"), "\u{1b}[31mdown\u{1b}[0m");
        assert_eq!(coloured.paint(Tone::Plain, "x"), "x");
    }
}
