//! Reading the log, by the consensus and by the tasks that send it to other nodes.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use ollamaflow_protocol::cluster::NodeId;
use openraft::{Entry, ErrorSubject, ErrorVerb, LogId, OptionalSend, RaftLogReader, StorageError};

use super::database::Database;
use super::error::StoreError;
use super::health::Alarm;
use super::keys;
use super::value::{Head, Spoiled};
use crate::cluster::codec;
use crate::cluster::types::TypeConfig;

/// Most bytes of entries that are read for one message to another node, unless the first alone is longer.
const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// Up to where the log counts as deleted. The entries may still be on the disk, see [`super::writer`].
pub(super) type Purged = Arc<ArcSwapOption<LogId<NodeId>>>;

/// Reads the log. Clones read the same one. What was appended can be read at once.
#[derive(Clone)]
pub struct EntryReader {
    database: Arc<Database>,
    alarm: Alarm,
    purged: Purged,
}

// === EntryReader ===

impl EntryReader {
    pub(super) fn new(database: Arc<Database>, alarm: Alarm, purged: Option<LogId<NodeId>>) -> Self {
        Self { database, alarm, purged: Arc::new(ArcSwapOption::from_pointee(purged)) }
    }

    pub(super) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    pub(super) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    pub(super) fn purged(&self) -> Purged {
        Arc::clone(&self.purged)
    }

    /// The id of the last entry; that of the last deleted one if there is none.
    pub(super) fn last_log_id(&self) -> Result<Option<LogId<NodeId>>, StoreError> {
        let purged = self.purged.load_full().map(|purged| *purged);
        let last = self.database.log.last().map_err(|error| self.database.explain(error))?;
        let last = match last {
            Some((key, head)) => Some(decode(&self.database, &key, &head)?.log_id),
            None => None,
        };
        Ok(last.filter(|last| purged.is_none_or(|purged| purged.index < last.index)).or(purged))
    }

    fn read(
        &self,
        range: &impl RangeBounds<u64>,
        max_bytes: usize,
    ) -> Result<Vec<Entry<TypeConfig>>, StoreError> {
        let first = match range.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let purged = self.purged.load().as_ref().map_or(0, |purged| purged.index + 1);
        read(&self.database, first.max(purged), end, max_bytes)
    }
}

impl RaftLogReader<TypeConfig> for EntryReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<NodeId>> {
        let entries = self.alarm.watch(self.read(&range, usize::MAX));
        entries.map_err(|error| error.into_raft(ErrorSubject::Logs, ErrorVerb::Read))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<NodeId>> {
        let entries = self.alarm.watch(self.read(&(start..end), MAX_BATCH_BYTES));
        entries.map_err(|error| error.into_raft(ErrorSubject::Logs, ErrorVerb::Read))
    }
}

// === reading ===

/// The entries from `first` to before `end` that are there: the first of them, and then as many as fit into
/// `max_bytes`.
pub(super) fn read(
    database: &Database,
    first: u64,
    end: u64,
    max_bytes: usize,
) -> Result<Vec<Entry<TypeConfig>>, StoreError> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    if first >= end {
        return Ok(entries);
    }
    for item in database.log.range(keys::entry(first)..keys::entry(end)) {
        let (key, head) = item.map_err(|error| database.explain(error))?;
        let Some(payload) = payload(database, &key, &head)? else { break };
        bytes += payload.len();
        if bytes > max_bytes && !entries.is_empty() {
            break;
        }
        entries.push(entry(database, &key, &payload)?);
    }
    Ok(entries)
}

fn decode(database: &Database, key: &[u8], head: &[u8]) -> Result<Entry<TypeConfig>, StoreError> {
    let payload = payload(database, key, head)?;
    entry(database, key, &payload.ok_or_else(|| incomplete(database, key))?)
}

/// The bytes of an entry; none if it was deleted meanwhile.
fn payload(database: &Database, key: &[u8], head: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    match Head::read(head).map_err(|Spoiled| incomplete(database, key))? {
        Head::Whole(payload) => Ok(Some(payload)),
        Head::Cut(parts) => {
            let index = keys::index(key).ok_or_else(|| incomplete(database, key))?;
            match database.join(&database.log_parts, index, parts)? {
                Some(payload) => Ok(Some(payload)),
                None if database.get(&database.log, key)?.is_some_and(|now| now == head) => {
                    Err(incomplete(database, key))
                }
                None => Ok(None),
            }
        }
    }
}

fn entry(database: &Database, key: &[u8], payload: &[u8]) -> Result<Entry<TypeConfig>, StoreError> {
    let entry: Entry<TypeConfig> = codec::decode(payload)?;
    if Some(entry.log_id.index) == keys::index(key) { Ok(entry) } else { Err(incomplete(database, key)) }
}

fn incomplete(database: &Database, key: &[u8]) -> StoreError {
    match keys::index(key) {
        Some(index) => database.damaged(format!("entry {index} of the log is not what was written")),
        None => database.damaged("the log has a key that was never written"),
    }
}
