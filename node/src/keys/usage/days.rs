//! The files: one for each day, in JSON, replaced as a whole and never changed in place.
//!
//! A day is small (a row for each key and model), so writing all of it is cheaper to get right than a database, and what a
//! crash leaves is either the old file or the new one. Old days are deleted by deleting their files.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use ollamaflow_protocol::id::KeyId;
use ollamaflow_protocol::usage::{Counts, Day, OTHER, UsageFilter, UsageRow, UsageRows};
use serde::{Deserialize, Serialize};

use crate::clock::now;
use crate::keys::handle::Noted;

/// The format that is written, and the newest that is read.
const FORMAT: u16 = 1;

/// Days that are kept: a year and a month, so that a month can be compared with that of the year before.
const KEPT_DAYS: i32 = 396;

/// Most models of one key that have rows of their own on one day: their names come from clients.
const MOST_MODELS: usize = 64;

/// Most rows of one day, not counting those of [`OTHER`]: a file stays below some megabytes.
const MOST_ROWS: usize = 20_000;

/// Most rows of one answer: it has to fit into one call between nodes.
const MOST_ANSWERED: usize = 16_000;

/// Most days that are held while the disk does not take them.
const MOST_HELD: usize = 8;

/// What was used on one day, by key and model.
type Table = BTreeMap<(String, String), Counts>;

/// The books of all days.
#[derive(Debug)]
pub(super) struct Days {
    directory: PathBuf,
    /// The newest day, and those that could not be written.
    held: BTreeMap<Day, Held>,
    /// The day on which old ones were looked for.
    pruned: Option<Day>,
    has_failed: bool,
}

#[derive(Debug, Default)]
struct Held {
    table: Table,
    is_written: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    format: u16,
    rows: Vec<UsageRow>,
}

// === impl Days ===

impl Days {
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Self { directory, held: BTreeMap::new(), pruned: None, has_failed: false })
    }

    /// Adds what was counted, and writes it. What cannot be written is tried again with what comes next.
    pub(super) fn enter(&mut self, counted: Vec<(KeyId, Noted)>) {
        for (key, rows) in counted {
            for ((day, model), counts) in rows {
                let held = self.held(day);
                add(&mut held.table, key.as_ref(), model, &counts);
                held.is_written = false;
            }
        }
        self.write();
        let today = Day::of(now());
        if self.pruned != Some(today) {
            self.pruned = Some(today);
            self.prune(today);
        }
    }

    /// The rows that the filter takes, of the newest days first.
    pub(super) fn read(&self, filter: &UsageFilter) -> io::Result<UsageRows> {
        let mut days: Vec<Day> = self.files()?;
        days.extend(self.held.keys());
        days.retain(|day| filter.has_day(*day));
        days.sort_unstable_by(|one, other| other.cmp(one));
        days.dedup();
        let mut answer = UsageRows::default();
        for day in days {
            let stored;
            let table = if let Some(held) = self.held.get(&day) {
                &held.table
            } else {
                stored = self.load(day).map_err(|error| {
                    let path = self.path(day);
                    io::Error::new(error.kind(), format!("{}: {error}; move the file away", path.display()))
                })?;
                &stored
            };
            for ((key, model), counts) in table.iter().filter(|((key, model), _)| filter.has(key, model)) {
                if answer.rows.len() == MOST_ANSWERED {
                    answer.truncated = true;
                    return Ok(answer);
                }
                let (key, model) = (key.clone(), model.clone());
                answer.rows.push(UsageRow { day, key, model, counts: *counts });
            }
        }
        Ok(answer)
    }

    /// The table of a day, from the disk if it is not here. A file that cannot be read is put aside: counting goes on.
    fn held(&mut self, day: Day) -> &mut Held {
        if !self.held.contains_key(&day) {
            let table = self.load(day).unwrap_or_else(|error| {
                let path = self.path(day);
                let aside = path.with_extension("damaged");
                tracing::error!(path = %path.display(), %error, "usage of a day cannot be read; its file is put aside");
                if let Err(error) = fs::rename(&path, &aside) {
                    tracing::error!(path = %path.display(), %error, "the file could not be put aside");
                }
                Table::new()
            });
            self.held.insert(day, Held { table, is_written: true });
        }
        self.held.entry(day).or_default()
    }

    fn write(&mut self) {
        let mut failed = None;
        for (day, held) in self.held.iter().filter(|(_, held)| !held.is_written) {
            if let Err(error) = self.save(*day, &held.table) {
                failed = Some(error);
                break;
            }
        }
        match failed {
            None => {
                self.has_failed = false;
                let newest = self.held.keys().next_back().copied();
                self.held.retain(|day, held| {
                    held.is_written = true;
                    Some(*day) == newest
                });
            }
            Some(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    let path = self.directory.display();
                    tracing::error!(%path, %error, "usage cannot be written; it is tried again");
                }
                while self.held.len() > MOST_HELD {
                    self.held.pop_first();
                }
            }
        }
    }

    fn load(&self, day: Day) -> io::Result<Table> {
        let text = match fs::read(self.path(day)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Table::new()),
            Err(error) => return Err(error),
        };
        let Document { format, rows } = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if format > FORMAT {
            return Err(io::Error::other("a newer version wrote it"));
        }
        Ok(rows.into_iter().map(|row| ((row.key, row.model), row.counts)).collect())
    }

    fn save(&self, day: Day, table: &Table) -> io::Result<()> {
        let rows = table.iter().map(|((key, model), counts)| UsageRow {
            day,
            key: key.clone(),
            model: model.clone(),
            counts: *counts,
        });
        let text = serde_json::to_vec(&Document { format: FORMAT, rows: rows.collect() })?;
        let path = self.path(day);
        let unfinished = path.with_extension("unfinished");
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(&self.directory)?.sync_all()
    }

    fn path(&self, day: Day) -> PathBuf {
        self.directory.join(format!("{day}.json"))
    }

    /// The days that have files.
    fn files(&self) -> io::Result<Vec<Day>> {
        let mut days = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let day = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<Day>().ok());
            days.extend(day);
        }
        Ok(days)
    }

    fn prune(&self, today: Day) {
        let oldest = today.before(KEPT_DAYS);
        let Ok(days) = self.files() else { return };
        for day in days.into_iter().filter(|day| *day < oldest) {
            if let Err(error) = fs::remove_file(self.path(day)) {
                tracing::warn!(%day, %error, "the usage of an old day could not be deleted");
            }
        }
    }
}

/// Adds to the row of the model, or to that of all others if there are too many.
fn add(table: &mut Table, key: &str, model: String, counts: &Counts) {
    let mut row = (key.to_owned(), model);
    if !table.contains_key(&row) {
        let from = (key.to_owned(), String::new());
        let models = table.range(from..).take_while(|((owner, _), _)| owner == key).count();
        if models >= MOST_MODELS || table.len() >= MOST_ROWS {
            OTHER.clone_into(&mut row.1);
        }
    }
    table.entry(row).or_default().add(counts);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(key: &str, day: Day, model: &str, requests: u64) -> Vec<(KeyId, Noted)> {
        let counts = Counts { requests, ..Counts::default() };
        vec![(key.parse().unwrap(), Noted::from([((day, model.to_owned()), counts)]))]
    }

    fn all(days: &Days) -> Vec<(String, String, String, u64)> {
        let filter = UsageFilter {
            key: None,
            model: None,
            from: "1970-01-01".parse().unwrap(),
            to: "9000-01-01".parse().unwrap(),
        };
        let rows = days.read(&filter).unwrap().rows.into_iter();
        rows.map(|row| (row.day.to_string(), row.key, row.model, row.counts.requests)).collect()
    }

    fn row(day: Day, key: &str, model: &str, requests: u64) -> (String, String, String, u64) {
        (day.to_string(), key.to_owned(), model.to_owned(), requests)
    }

    #[test]
    fn counts_are_there_after_the_books_were_closed() {
        let directory = tempfile::tempdir().unwrap();
        let today = Day::of(now());
        let open = || Days::open(directory.path().join("usage")).unwrap();
        let mut days = open();
        days.enter(counted("k1", today, "m", 1));
        days.enter(counted("k1", today.before(1), "m", 5));
        let mut days = open();
        days.enter(counted("k1", today, "m", 2));
        let expected = [row(today, "k1", "m", 3), row(today.before(1), "k1", "m", 5)];
        assert_eq!(all(&days), expected);
        assert_eq!(all(&open()), expected);
        assert_eq!(fs::read_dir(directory.path().join("usage")).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn days_that_are_too_old_are_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let today = Day::of(now());
        let mut days = Days::open(directory.path().to_owned()).unwrap();
        days.enter(counted("k", today.before(KEPT_DAYS), "m", 1));
        days.enter(counted("k", today.before(KEPT_DAYS + 1), "m", 1));
        let mut days = Days::open(directory.path().to_owned()).unwrap();
        days.enter(Vec::new());
        assert_eq!(all(&days), [row(today.before(KEPT_DAYS), "k", "m", 1)]);
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_counting_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let today = Day::of(now());
        fs::write(directory.path().join(format!("{today}.json")), "{").unwrap();
        let mut days = Days::open(directory.path().to_owned()).unwrap();
        days.enter(counted("k", today, "m", 1));
        assert_eq!(all(&days), [row(today, "k", "m", 1)]);
        assert!(directory.path().join(format!("{today}.damaged")).exists());
    }

    #[test]
    fn what_cannot_be_written_is_kept_and_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let (place, away) = (directory.path().join("usage"), directory.path().join("away"));
        let today = Day::of(now());
        let mut days = Days::open(place.clone()).unwrap();
        fs::rename(&place, &away).unwrap();
        days.enter(counted("k", today, "m", 1));
        fs::rename(&away, &place).unwrap();
        days.enter(counted("k", today, "m", 2));
        assert_eq!(all(&Days::open(place).unwrap()), [row(today, "k", "m", 3)]);
    }

    #[test]
    fn models_beyond_the_bound_are_counted_together() {
        let mut table = Table::new();
        let counts = Counts { requests: 1, ..Counts::default() };
        for number in 0..MOST_MODELS + 10 {
            add(&mut table, "k", format!("m{number}"), &counts);
        }
        add(&mut table, "l", "m".to_owned(), &counts);
        assert_eq!(table.len(), MOST_MODELS + 2);
        assert_eq!(table[&("k".to_owned(), OTHER.to_owned())].requests, 10);
    }
}
