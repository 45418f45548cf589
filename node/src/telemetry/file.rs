//! The log file: one for each day, named by it, and none older than the settings say.
//!
//! The original's names are kept (`ollamaflow.log.20261128`), which no rolling writer that is at hand can make.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ollamaflow_protocol::time::Timestamp;

use super::queue::{Sink, Written};
use crate::clock;
use crate::settings::Logging;

/// Most bytes that wait for the disk.
pub(super) const BOUND: usize = 1024 * 1024;

/// Time between two tries to open a file that could not be written.
const RETRY: Duration = Duration::from_secs(5);

/// Time between two looks whether somebody has moved the file away.
const LOOK: Duration = Duration::from_secs(1);

const MICROS_PER_DAY: i64 = 86_400 * 1_000_000;

/// A day, UTC, as days since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Day(i64);

/// Where the files are and what they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    directory: PathBuf,
    name: String,
}

/// The file of the present day.
pub(super) struct DailyFile {
    place: Place,
    /// How many days' files are kept; 0 for all.
    retention_days: u16,
    open: Option<Open>,
    /// Whether nothing could be written the last time.
    has_failed: bool,
}

struct Open {
    file: File,
    path: PathBuf,
    day: Day,
    looked: Instant,
}

/// The file that is written today; none if the settings want no files.
pub(super) fn path_of_today(settings: &Logging) -> Option<String> {
    let place = Place::of(settings)?;
    Some(place.file(Day::of(clock::now())).display().to_string())
}

// === impl Day ===

impl Day {
    fn of(at: Timestamp) -> Self {
        Self(at.as_micros().div_euclid(MICROS_PER_DAY))
    }

    /// As `yyyyMMdd`.
    fn text(self) -> String {
        let text = Timestamp::from_micros(self.0.saturating_mul(MICROS_PER_DAY)).to_string();
        text.chars().take(10).filter(char::is_ascii_digit).collect()
    }

    /// The day of which this is the text.
    fn parse(text: &str) -> Option<Self> {
        if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (year, month, day) = (&text[..4], &text[4..6], &text[6..]);
        Some(Self::of(format!("{year}-{month}-{day}T00:00:00Z").parse().ok()?))
    }
}

// === impl Place ===

impl Place {
    fn of(settings: &Logging) -> Option<Self> {
        if settings.log_filename.is_empty() {
            return None;
        }
        // The original puts them together without a separator, which its own default has at its end.
        let path = Path::new(&settings.log_directory).join(&settings.log_filename);
        let name = path.file_name()?.to_str()?.to_owned();
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Some(Self { directory: directory.unwrap_or(Path::new(".")).to_owned(), name })
    }

    fn file(&self, day: Day) -> PathBuf {
        self.directory.join(format!("{}.{}", self.name, day.text()))
    }

    /// The day of a file of ours; none of any other file.
    fn day(&self, name: &str) -> Option<Day> {
        Day::parse(name.strip_prefix(&self.name)?.strip_prefix('.')?)
    }
}

// === impl DailyFile ===

impl DailyFile {
    /// None if the settings want no files.
    pub(super) fn new(settings: &Logging) -> Option<Self> {
        let place = Place::of(settings)?;
        Some(Self { place, retention_days: settings.retention_days, open: None, has_failed: false })
    }

    fn write_on(&mut self, day: Day, records: &[u8]) -> io::Result<()> {
        let open = self.open.take().filter(|open| open.day == day);
        let mut open = if let Some(open) = open.filter(Open::is_in_place) {
            open
        } else {
            let open = Open::of(&self.place, day)?;
            self.remove_old(day);
            open
        };
        open.file.write_all(records)?;
        open.look();
        self.open = Some(open);
        Ok(())
    }

    /// Removes files of ours that are too old, and nothing else. What cannot be removed now is tried again tomorrow.
    fn remove_old(&self, today: Day) {
        if self.retention_days == 0 {
            return;
        }
        let oldest = Day(today.0 - i64::from(self.retention_days) + 1);
        let Ok(entries) = fs::read_dir(&self.place.directory) else { return };
        for entry in entries.flatten() {
            let day = entry.file_name().to_str().and_then(|name| self.place.day(name));
            if day.is_some_and(|day| day < oldest)
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(file = %entry.path().display(), %error, "an old log file could not be removed");
            }
        }
    }
}

impl Sink for DailyFile {
    fn write(&mut self, records: &[u8], count: u64) -> Written {
        let result = self.write_on(Day::of(clock::now()), records);
        let had_failed = std::mem::replace(&mut self.has_failed, result.is_err());
        let Err(error) = result else {
            if had_failed {
                tracing::info!("the log file can be written again");
            }
            return Written::default();
        };
        if !had_failed {
            let file = self.place.file(Day::of(clock::now()));
            tracing::warn!(
                file = %file.display(), %error,
                "the log file cannot be written and the node goes on without it: make its directory writable, or set \
                 Logging.LogDirectory (an empty Logging.LogFilename for no file)"
            );
        }
        Written { lost: count, rest: Some(RETRY) }
    }
}

// === impl Open ===

impl Open {
    fn of(place: &Place, day: Day) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o750).create(&place.directory)?;
        let path = place.file(day);
        // Not for everybody: there may be bodies of requests in it.
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&path)?;
        Ok(Self { file, path, day, looked: Instant::now() })
    }

    fn look(&mut self) {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
        }
    }

    /// Whether the file still has its name: a program that rotates logs may have taken it.
    fn is_in_place(&self) -> bool {
        if self.looked.elapsed() < LOOK {
            return true;
        }
        let (Ok(ours), Ok(named)) = (self.file.metadata(), fs::metadata(&self.path)) else { return false };
        (ours.dev(), ours.ino()) == (named.dev(), named.ino())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logging(directory: &Path, retention_days: u16) -> Logging {
        let log_directory = directory.join("new/logs").to_str().unwrap().to_owned();
        Logging { log_directory, retention_days, ..Logging::default() }
    }

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn files(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory.join("new/logs")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn days_are_written_as_the_original_does() {
        assert_eq!(day("19700102"), Day(1));
        for text in ["20261128", "20240229", "20250101"] {
            assert_eq!(day(text).text(), text);
        }
        assert_eq!(Day(day("20261231").0 + 1).text(), "20270101");
        for text in ["20230229", "2026112", "202611281", "2026-1-1", "abcdefgh", ""] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }

    #[test]
    fn directory_and_name_are_joined_with_or_without_a_separator() {
        let path = |directory: &str, name: &str| {
            let settings = Logging {
                log_directory: directory.to_owned(),
                log_filename: name.to_owned(),
                ..Logging::default()
            };
            Place::of(&settings).map(|place| place.file(day("20261128")).display().to_string())
        };
        assert_eq!(path("./logs/", "a.log").unwrap(), "./logs/a.log.20261128");
        assert_eq!(path("./logs", "a.log").unwrap(), "./logs/a.log.20261128");
        assert_eq!(path("", "a.log").unwrap(), "./a.log.20261128");
        assert_eq!(path("/var/log", "flow/a.log").unwrap(), "/var/log/flow/a.log.20261128");
        assert_eq!(path("./logs/", ""), None);
    }

    #[test]
    fn each_day_has_a_file_and_old_ones_go() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = DailyFile::new(&logging(directory.path(), 2)).unwrap();
        file.write_on(day("20261128"), b"one\n").unwrap();
        file.write_on(day("20261128"), b"two\n").unwrap();
        let logs = directory.path().join("new/logs");
        assert_eq!(fs::read(logs.join("ollamaflow.log.20261128")).unwrap(), b"one\ntwo\n");
        let others = ["ollamaflow.log", "ollamaflow.log.2020010", "ollamaflow.log.20200101.gz", "x.20200101"];
        for other in others {
            fs::write(logs.join(other), "").unwrap();
        }
        fs::write(logs.join("ollamaflow.log.20200101"), "").unwrap();
        file.write_on(day("20261129"), b"three\n").unwrap();
        file.write_on(day("20261130"), b"four\n").unwrap();
        let mut expected = others.map(str::to_owned).to_vec();
        expected.extend(["ollamaflow.log.20261129".to_owned(), "ollamaflow.log.20261130".to_owned()]);
        expected.sort();
        assert_eq!(files(directory.path()), expected);
    }

    #[test]
    fn all_files_are_kept_if_that_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = DailyFile::new(&logging(directory.path(), 0)).unwrap();
        for text in ["20100101", "20261128"] {
            file.write_on(day(text), b"x\n").unwrap();
        }
        assert_eq!(files(directory.path()).len(), 2);
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = DailyFile::new(&logging(directory.path(), 2)).unwrap();
        let path = directory.path().join("new/logs/ollamaflow.log.20261128");
        file.write_on(day("20261128"), b"one\n").unwrap();
        fs::rename(&path, directory.path().join("rotated")).unwrap();
        file.open.as_mut().unwrap().looked -= LOOK;
        file.write_on(day("20261128"), b"two\n").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"two\n");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_tried_again_later() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("new"), "a file in the way").unwrap();
        let mut file = DailyFile::new(&logging(directory.path(), 2)).unwrap();
        assert_eq!(file.write(b"one\ntwo\n", 2), Written { lost: 2, rest: Some(RETRY) });
        fs::remove_file(directory.path().join("new")).unwrap();
        assert_eq!(file.write(b"three\n", 1), Written::default());
        assert_eq!(files(directory.path()).len(), 1);
    }
}
