//! What a store holds when it is opened, checked and put together again.
//!
//! The newest snapshot, and the entries after it that are known to be agreed on, are the state that this node had
//! applied. Entries beyond those are left to the consensus.

use ollamaflow_protocol::cluster::{ClusterState, NodeId};
use openraft::LogId;

use super::database::Database;
use super::error::StoreError;
use super::keys::{self, single};
use super::machine::Applying;
use super::reader;
use super::snapshot::SnapshotRecord;
use super::state::AppliedState;
use super::value::unseal;

/// Entries that are applied at a time: bounds what is in memory.
const STEP: u64 = 64;

/// What a store holds.
pub(super) struct Loaded {
    pub(super) applied: AppliedState,
    pub(super) last_applied: Option<LogId<NodeId>>,
    pub(super) purged: Option<LogId<NodeId>>,
    pub(super) snapshot: Option<SnapshotRecord>,
}

// === Loaded ===

impl Loaded {
    pub(super) fn from(database: &Database) -> Result<Self, StoreError> {
        let purged: Option<LogId<NodeId>> = database.single(single::PURGED)?;
        let committed: Option<LogId<NodeId>> = database.single(single::COMMITTED)?;
        let mut applying = Applying::default();
        let mut snapshot = None;
        if let Some((record, content)) = SnapshotRecord::read_whole(database)? {
            applying.last = record.last_log_id();
            applying.state = ClusterState::decode(&content)?;
            applying.members = record.meta.last_membership.clone();
            snapshot = Some(record);
        }
        if purged > applying.last {
            return Err(database.damaged("entries were deleted that no snapshot covers"));
        }
        clean(database, purged, snapshot.as_ref())?;
        check_log(database)?;
        if committed > applying.last {
            replay(database, &mut applying, committed)?;
        }
        let last_applied = applying.last;
        let applied = AppliedState {
            index: last_applied.map_or(0, |last| last.index),
            bytes_since_snapshot: applying.bytes,
            snapshot_index: snapshot
                .as_ref()
                .and_then(SnapshotRecord::last_log_id)
                .map_or(0, |last| last.index),
            state: applying.state,
            members: applying.members,
        };
        Ok(Self { applied, last_applied, purged, snapshot })
    }
}

/// Applies the entries after the snapshot up to `committed`.
fn replay(
    database: &Database,
    applying: &mut Applying,
    committed: Option<LogId<NodeId>>,
) -> Result<(), StoreError> {
    let end = committed.map_or(0, |committed| committed.index + 1);
    let mut next = applying.last.map_or(0, |last| last.index + 1);
    if applying.last.is_none() {
        // A log starts at 0, but openraft's tests have others.
        next = reader::read(database, 0, end, 0)?.first().map_or(end, |entry| entry.log_id.index);
    }
    while next < end {
        let entries = reader::read(database, next, end.min(next + STEP), usize::MAX)?;
        let expected = end.min(next + STEP) - next;
        if entries.len() as u64 != expected {
            return Err(database.damaged(format!("agreed entries from {next} on are missing")));
        }
        for entry in entries {
            applying.apply(entry);
        }
        next += expected;
    }
    if applying.last == committed {
        Ok(())
    } else {
        Err(database.damaged("the last agreed entry is not the one that was noted"))
    }
}

/// Removes what an interrupted deletion left.
fn clean(
    database: &Database,
    purged: Option<LogId<NodeId>>,
    snapshot: Option<&SnapshotRecord>,
) -> Result<(), StoreError> {
    if let Some(purged) = purged {
        for key in database.log.range(..=keys::entry(purged.index)).keys() {
            database.remove(&database.log, &key.map_err(|error| database.explain(error))?)?;
        }
        database.remove_range(&database.log_parts, ..=keys::part(purged.index, u32::MAX))?;
    }
    match database.log.last().map_err(|error| database.explain(error))? {
        Some((key, _)) => {
            let last = keys::index(&key).unwrap_or(u64::MAX);
            database.remove_range(&database.log_parts, keys::part(last, u32::MAX)..)?;
        }
        None => database.remove_range(&database.log_parts, ..)?,
    }
    match snapshot {
        Some(record) => {
            database.remove_range(&database.snapshot_parts, ..keys::part(record.generation, 0))?;
            database.remove_range(&database.snapshot_parts, keys::part(record.generation, u32::MAX)..)
        }
        None => database.remove_range(&database.snapshot_parts, ..),
    }
}

/// Refuses a log with a hole or with a head that is not what was written.
fn check_log(database: &Database) -> Result<(), StoreError> {
    let mut expected = None;
    for item in &database.log {
        let (key, head) = item.map_err(|error| database.explain(error))?;
        let index =
            keys::index(&key).ok_or_else(|| database.damaged("the log has a key that was never written"))?;
        if expected.is_some_and(|expected| expected != index) {
            return Err(database.damaged(format!("the log has a hole before entry {index}")));
        }
        if unseal(&head).is_err() {
            return Err(database.damaged(format!("entry {index} of the log is not what was written")));
        }
        expected = Some(index + 1);
    }
    Ok(())
}
