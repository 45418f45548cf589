//! The log on the disk: entries follow on one another without a gap, whenever the power goes.
//!
//! Parts of an entry are written before its head, heads in the order of their index; deletions go from the end
//! inwards. As writes become durable in their order, what is left after a crash is always a log.

use std::sync::Arc;

use ollamaflow_protocol::cluster::NodeId;
use openraft::LogId;

use super::Prepared;
use crate::cluster::store::database::Database;
use crate::cluster::store::error::StoreError;
use crate::cluster::store::keys::{self, single};
use crate::cluster::store::reader::Purged;
use crate::cluster::store::state::StateReader;

/// The log on the disk.
pub(super) struct Entries {
    database: Arc<Database>,
    /// Up to where readers see it as deleted.
    purged: Purged,
    /// Deletion that waits for a snapshot.
    pending: Option<LogId<NodeId>>,
    /// The last entry in the newest durable snapshot.
    covered: Option<LogId<NodeId>>,
    applied: StateReader,
    /// The index that must come next; none if the log is empty and was never deleted from.
    next: Option<u64>,
}

/// What became of new entries.
pub(super) enum Appended {
    /// They are written.
    Written,
    /// There would be a gap on the disk before them until a snapshot is durable.
    MustWait(Vec<Prepared>),
}

// === Entries ===

impl Entries {
    pub(super) fn open(
        database: Arc<Database>,
        purged: Purged,
        covered: Option<LogId<NodeId>>,
        applied: StateReader,
    ) -> Result<Self, StoreError> {
        let last = database.log.last().map_err(|error| database.explain(error))?;
        let last = last.and_then(|(key, _)| keys::index(&key));
        let last = last.max(purged.load().as_ref().map(|purged| purged.index));
        Ok(Self { database, purged, pending: None, covered, applied, next: last.map(|last| last + 1) })
    }

    pub(super) fn append(&mut self, mut entries: Vec<Prepared>) -> Result<Appended, StoreError> {
        // The consensus does not repeat what was deleted; if it did, the snapshot would have it.
        let purged = self.purged.load().as_ref().map(|purged| purged.index);
        entries.retain(|entry| Some(entry.index) > purged);
        let mut next = self.next;
        for entry in &entries {
            if next != Some(entry.index) {
                if self.awaits_snapshot_before(entry.index) {
                    return Ok(Appended::MustWait(entries));
                }
                if let Some(expected) = next {
                    return Err(StoreError::Gap { expected, found: entry.index });
                }
            }
            next = Some(entry.index + 1);
        }
        for Prepared { index, value } in entries {
            for (number, part) in (0..).zip(value.parts()) {
                self.database.put(&self.database.log_parts, &keys::part(index, number), part)?;
            }
            self.database.put(&self.database.log, &keys::entry(index), &value.head)?;
            self.next = Some(index + 1);
        }
        Ok(Appended::Written)
    }

    /// Whether all up to this entry is in a snapshot that is being installed.
    fn awaits_snapshot_before(&self, index: u64) -> bool {
        self.pending.is_some_and(|upto| upto.index + 1 == index && self.applied.current().index < upto.index)
    }

    /// Deletes the entries from `since` on.
    pub(super) fn truncate(&mut self, since: u64) -> Result<(), StoreError> {
        for key in self.database.log.range(keys::entry(since)..).keys().rev() {
            let key = key.map_err(|error| self.database.explain(error))?;
            self.database.remove(&self.database.log, &key)?;
            self.next = keys::index(&key);
        }
        if self.database.log.is_empty() {
            self.next = self.purged.load().as_ref().map(|purged| purged.index + 1);
        }
        self.database.remove_range(&self.database.log_parts, keys::part(since, 0)..)
    }

    /// Hides the entries up to `upto` and deletes them if a snapshot has them, otherwise when one does.
    pub(super) fn purge(&mut self, upto: LogId<NodeId>) -> Result<(), StoreError> {
        let purged = self.purged.load().as_ref().map(|purged| **purged);
        if purged.is_none_or(|purged| purged.index < upto.index) {
            self.purged.store(Some(Arc::new(upto)));
            self.pending = Some(upto);
        }
        self.delete_covered()
    }

    /// Notes what the newest snapshot has, and deletes what waited for it.
    pub(super) fn cover(&mut self, covered: Option<LogId<NodeId>>) -> Result<(), StoreError> {
        self.covered = covered;
        self.delete_covered()
    }

    fn delete_covered(&mut self) -> Result<(), StoreError> {
        let covered = self.covered.map(|covered| covered.index);
        let Some(upto) = self.pending.filter(|upto| Some(upto.index) <= covered) else { return Ok(()) };
        // The mark first: without it, what is left would be a log that begins in the middle.
        self.database.put_single(single::PURGED, &upto)?;
        for key in self.database.log.range(..=keys::entry(upto.index)).keys() {
            let key = key.map_err(|error| self.database.explain(error))?;
            self.database.remove(&self.database.log, &key)?;
        }
        self.database.remove_range(&self.database.log_parts, ..=keys::part(upto.index, u32::MAX))?;
        self.next = self.next.max(Some(upto.index + 1));
        self.pending = None;
        Ok(())
    }
}
