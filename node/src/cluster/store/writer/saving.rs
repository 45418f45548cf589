//! Snapshots on their way to the disk, one at a time and a slice at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use ollamaflow_protocol::cluster::NodeId;
use openraft::LogId;

use super::Reply;
use crate::cluster::store::database::Database;
use crate::cluster::store::error::StoreError;
use crate::cluster::store::health::Alarm;
use crate::cluster::store::keys::{self, single};
use crate::cluster::store::snapshot::{NewSnapshot, SnapshotRecord};
use crate::cluster::store::value::{Parts, chunks};

/// Parts that are written at a time: 256 KiB, less than a sync takes.
const SLICE: usize = 8;

/// The snapshots on their way.
pub(super) struct Saving {
    database: Arc<Database>,
    newest: Option<SnapshotRecord>,
    queue: VecDeque<(NewSnapshot, Reply)>,
    /// Parts of the first one that are written.
    written: usize,
}

// === Saving ===

impl Saving {
    pub(super) fn new(database: Arc<Database>, newest: Option<SnapshotRecord>) -> Self {
        Self { database, newest, queue: VecDeque::new(), written: 0 }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Adds one. Its number is bounded like the queue's of tasks.
    pub(super) fn push(&mut self, snapshot: NewSnapshot, done: Reply) {
        self.queue.push_back((snapshot, done));
    }

    /// Writes a slice of the first snapshot. Answers what the newest one covers when one is finished, if there is
    /// an answer to give; the outer option is none as long as it is not.
    #[expect(clippy::option_option, reason = "finished or not; and a snapshot of nothing covers nothing")]
    pub(super) fn advance(&mut self) -> Result<Option<Option<LogId<NodeId>>>, StoreError> {
        let newest = self.newest.as_ref().and_then(SnapshotRecord::last_log_id);
        let Some((snapshot, _)) = self.queue.front() else { return Ok(Some(newest)) };
        if newest > snapshot.meta.last_log_id {
            // An older state than the one that is kept, finished too late.
            self.finish();
            return Ok(Some(newest));
        }
        let generation = self.newest.as_ref().map_or(1, |newest| newest.generation + 1);
        let parts = chunks(&snapshot.content).skip(self.written).take(SLICE);
        let mut slice = 0;
        for (number, part) in (self.written..).zip(parts) {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            self.database.put(&self.database.snapshot_parts, &keys::part(generation, number), part)?;
            slice += 1;
        }
        self.written += slice;
        if slice > 0 {
            return Ok(None);
        }
        let parts = Parts::of(&snapshot.content);
        let record = SnapshotRecord { generation, meta: snapshot.meta.clone(), parts };
        // The content before the record that points to it, and the record before the older content goes.
        self.database.sync()?;
        self.database.put_single(single::SNAPSHOT, &record)?;
        self.database.sync()?;
        self.database.remove_range(&self.database.snapshot_parts, ..keys::part(generation, 0))?;
        let covered = record.last_log_id();
        self.newest = Some(record);
        self.finish();
        Ok(Some(covered))
    }

    /// Tells all that wait that it failed.
    pub(super) fn fail(&mut self, alarm: &Alarm, error: &StoreError) {
        self.written = 0;
        for (_, done) in self.queue.drain(..) {
            let _ = done.send(Err(alarm.raise(error)));
        }
    }

    fn finish(&mut self) {
        self.written = 0;
        if let Some((snapshot, done)) = self.queue.pop_front() {
            // Its content goes first: whoever waits wants to be its only owner.
            drop(snapshot);
            let _ = done.send(Ok(()));
        }
    }
}
