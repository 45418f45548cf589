//! Findings: what was looked at, how it is, and what to do.

use serde_json::{Value, json};

use crate::cli::remote::printable;
use crate::cli::screen::{Screen, Tone};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// As it should be.
    Fine,
    /// Could not be looked at from here.
    Skipped,
    /// Works, but not well or not for long.
    Doubtful,
    /// Does not work.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    level: Level,
    subject: String,
    text: String,
    mend: Option<String>,
}

/// All of them, in the order in which they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Report(Vec<Finding>);

// === Report ===

impl Report {
    pub(super) fn fine(&mut self, subject: &str, text: &str) {
        self.add(Level::Fine, subject, text, None);
    }

    pub(super) fn skip(&mut self, subject: &str, text: &str) {
        self.add(Level::Skipped, subject, text, None);
    }

    pub(super) fn doubtful(&mut self, subject: &str, text: &str, mend: &str) {
        self.add(Level::Doubtful, subject, text, Some(mend));
    }

    pub(super) fn broken(&mut self, subject: &str, text: &str, mend: &str) {
        self.add(Level::Broken, subject, text, Some(mend));
    }

    fn add(&mut self, level: Level, subject: &str, text: &str, mend: Option<&str>) {
        let [subject, text] = [subject, text].map(printable);
        self.0.push(Finding { level, subject, text, mend: mend.map(printable) });
    }

    pub(super) fn is_broken(&self) -> bool {
        self.count(Level::Broken) > 0
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    pub(super) fn json(&self) -> Value {
        let findings = self.0.iter().map(|finding| {
            json!({
                "Level": finding.level.name(),
                "Subject": finding.subject,
                "Text": finding.text,
                "Mend": finding.mend,
            })
        });
        findings.collect()
    }

    /// A line for each finding, one more with what to do, and the sum.
    pub(super) fn text(&self, screen: Screen) -> String {
        let width = self.0.iter().map(|finding| finding.subject.chars().count()).max().unwrap_or_default();
        let mut lines = Vec::new();
        for Finding { level, subject, text, mend } in &self.0 {
            let mark = screen.paint(level.tone(), &format!("{:<5}", level.mark()));
            lines.push(format!("{mark} {subject:<width$}  {text}"));
            if let Some(mend) = mend {
                lines.push(format!("{:indent$}-> {mend}", "", indent = width + 8));
            }
        }
        let (broken, doubtful) = (self.count(Level::Broken), self.count(Level::Doubtful));
        lines.push(String::new());
        lines.push(match (broken, doubtful) {
            (0, 0) => screen.paint(Tone::Good, "nothing is wrong"),
            (0, doubtful) => {
                screen.paint(Tone::Doubtful, &format!("nothing is broken, {doubtful} to look at"))
            }
            (broken, doubtful) => screen.paint(Tone::Bad, &format!("{broken} broken, {doubtful} to look at")),
        });
        lines.join("\n")
    }
}

// === Level ===

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Fine => "Fine",
            Self::Skipped => "Skipped",
            Self::Doubtful => "Doubtful",
            Self::Broken => "Broken",
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Skipped => "skip",
            Self::Doubtful => "warn",
            Self::Broken => "FAIL",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Fine => Tone::Good,
            Self::Skipped => Tone::Faint,
            Self::Doubtful => Tone::Doubtful,
            Self::Broken => Tone::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_wrong_and_how_it_is_mended() {
        let mut report = Report::default();
        report.fine("disk", "90 GB free");
        report.doubtful("clock", "3 s off", "set the clock");
        assert!(!report.is_broken());
        assert!(report.text(Screen::none()).ends_with("nothing is broken, 1 to look at"));
        report.broken("backend b1", "nobody\u{1b} listens", "start it");
        report.skip("x", "not here");
        assert_eq!(
            report.text(Screen::none()),
            "ok    disk        90 GB free\n\
             warn  clock       3 s off\n\
             \x20                 -> set the clock\n\
             FAIL  backend b1  nobody  listens\n\
             \x20                 -> start it\n\
             skip  x           not here\n\n\
             1 broken, 1 to look at"
        );
        assert_eq!(report.json()[2]["Level"], "Broken");
        assert_eq!(report.json()[0]["Mend"], Value::Null);
    }
}
