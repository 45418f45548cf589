//! Log and vote, as openraft wants them.

use std::fmt::Debug;
use std::ops::RangeBounds;

use ollamaflow_protocol::cluster::NodeId;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    Entry, ErrorSubject, ErrorVerb, LogId, LogState, OptionalSend, RaftLogReader, StorageError, Vote,
};

use super::error::StoreError;
use super::keys::single;
use super::marks::Marks;
use super::reader::EntryReader;
use super::writer::{Prepared, Task, Writer};
use crate::cluster::types::TypeConfig;

/// Log and vote.
pub struct LogStore {
    reader: EntryReader,
    writer: Writer,
    marks: Marks,
}

// === LogStore ===

impl LogStore {
    pub(super) fn new(reader: EntryReader, writer: Writer, marks: Marks) -> Self {
        Self { reader, writer, marks }
    }

    #[cfg(test)]
    pub(super) fn reader(&self) -> &EntryReader {
        &self.reader
    }

    fn single<T: serde::de::DeserializeOwned>(&self, key: &'static [u8]) -> Result<Option<T>, StoreError> {
        self.reader.alarm().watch(self.reader.database().single(key))
    }

    fn state(&self) -> Result<LogState<TypeConfig>, StoreError> {
        let last_purged_log_id = self.reader.purged().load_full().map(|purged| *purged);
        let last_log_id = self.reader.alarm().watch(self.reader.last_log_id())?;
        Ok(LogState { last_purged_log_id, last_log_id })
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<NodeId>> {
        self.reader.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<NodeId>> {
        self.reader.limited_get_log_entries(start, end).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = EntryReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError<NodeId>> {
        self.state().map_err(|error| error.into_raft(ErrorSubject::Logs, ErrorVerb::Read))
    }

    async fn get_log_reader(&mut self) -> EntryReader {
        self.reader.clone()
    }

    /// Durable when it returns.
    async fn save_vote(&mut self, vote: &Vote<NodeId>) -> Result<(), StorageError<NodeId>> {
        let vote = *vote;
        let saved = self.writer.call(|done| Task::Vote { vote, done }).await;
        if saved.is_ok() {
            self.marks.votes(&vote);
        }
        saved.map_err(|error| error.into_raft(ErrorSubject::Vote, ErrorVerb::Write))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<NodeId>>, StorageError<NodeId>> {
        self.single(single::VOTE).map_err(|error| error.into_raft(ErrorSubject::Vote, ErrorVerb::Read))
    }

    /// Durable soon after. It only says how far the log may be applied before the leader was heard; what it says
    /// is durable already.
    async fn save_committed(&mut self, committed: Option<LogId<NodeId>>) -> Result<(), StorageError<NodeId>> {
        let saved = self.writer.call(|done| Task::Committed { committed, done }).await;
        if let (Ok(()), Some(committed)) = (&saved, committed) {
            self.marks.has_committed(committed.index);
        }
        saved.map_err(|error| error.into_raft(ErrorSubject::Logs, ErrorVerb::Write))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<NodeId>>, StorageError<NodeId>> {
        self.single(single::COMMITTED).map_err(|error| error.into_raft(ErrorSubject::Logs, ErrorVerb::Read))
    }

    /// The entries can be read when this returns; `flushed` is told when they are durable.
    async fn append<I>(
        &mut self,
        entries: I,
        flushed: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError<NodeId>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Result<Vec<_>, _> = entries.into_iter().map(|entry| Prepared::new(&entry)).collect();
        let written = match entries {
            Ok(entries) => self.writer.call(|written| Task::Append { entries, written, flushed }).await,
            Err(error) => Err(error),
        };
        written.map_err(|error| error.into_raft(ErrorSubject::Logs, ErrorVerb::Write))
    }

    /// Durable when it returns.
    async fn truncate(&mut self, since: LogId<NodeId>) -> Result<(), StorageError<NodeId>> {
        let done = self.writer.call(|done| Task::Truncate { since: since.index, done }).await;
        done.map_err(|error| error.into_raft(ErrorSubject::Logs, ErrorVerb::Delete))
    }

    /// The entries are gone for readers when this returns, and from the disk when a durable snapshot covers them.
    async fn purge(&mut self, upto: LogId<NodeId>) -> Result<(), StorageError<NodeId>> {
        let done = self.writer.call(|done| Task::Purge { upto, done }).await;
        done.map_err(|error| error.into_raft(ErrorSubject::Logs, ErrorVerb::Delete))
    }
}
