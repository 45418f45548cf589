//! The state machine, as openraft wants it: applies entries in memory, makes snapshots and takes those of others.

use std::sync::Arc;

use ollamaflow_protocol::cluster::{ClusterState, Envelope, NodeId};
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{
    Entry, EntryPayload, ErrorSubject, ErrorVerb, LogId, OptionalSend, RaftSnapshotBuilder, SnapshotMeta,
    StorageError, StoredMembership,
};
use tokio::task::spawn_blocking;

use super::error::StoreError;
use super::reader::EntryReader;
use super::snapshot::{NewSnapshot, SnapshotRecord, snapshot_id};
use super::state::{AppliedState, StateReader};
use super::writer::{Task, Writer};
use crate::cluster::types::{Member, Response, TypeConfig};

/// What filters know the lines of `Logging.LogQueries` and `Logging.LogResults` by.
const QUERIES: &str = "ollamaflow::queries";
const RESULTS: &str = "ollamaflow::results";

/// Applies entries. An entry that is applied is on the disks of a quorum, so nothing is written for it here.
pub struct StateMachine {
    reader: EntryReader,
    writer: Writer,
    published: StateReader,
    last_applied: Option<LogId<NodeId>>,
}

/// Makes a snapshot of the state as it was when the builder was made.
pub struct SnapshotBuilder {
    writer: Writer,
    published: StateReader,
    applied: Arc<AppliedState>,
    last_applied: Option<LogId<NodeId>>,
}

/// A state on its way through entries.
#[derive(Default)]
pub(super) struct Applying {
    pub(super) last: Option<LogId<NodeId>>,
    /// Length of the commands that were applied.
    pub(super) bytes: u64,
    pub(super) state: ClusterState,
    pub(super) members: StoredMembership<NodeId, Member>,
}

// === Applying ===

impl Applying {
    pub(super) fn apply(&mut self, entry: Entry<TypeConfig>) -> Response {
        self.last = Some(entry.log_id);
        let outcome = match entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Normal(proposal) => {
                self.bytes += proposal.text.len() as u64;
                let envelope = Envelope::decode(&proposal.text);
                let (revision, command) = (entry.log_id.index, envelope.command.name());
                tracing::debug!(target: QUERIES, revision, command, by = envelope.by, "command");
                let (next, outcome) = self.state.apply(revision, &envelope);
                match &outcome {
                    Ok(outcome) => {
                        tracing::debug!(target: RESULTS, revision, command, ?outcome, "result");
                    }
                    Err(rejection) => {
                        tracing::debug!(target: RESULTS, revision, command, %rejection, "result");
                    }
                }
                self.state = next;
                Some(outcome)
            }
            EntryPayload::Membership(members) => {
                self.members = StoredMembership::new(Some(entry.log_id), members);
                None
            }
        };
        Response { outcome }
    }
}

// === StateMachine ===

impl StateMachine {
    pub(super) fn new(
        reader: EntryReader,
        writer: Writer,
        published: StateReader,
        last_applied: Option<LogId<NodeId>>,
    ) -> Self {
        Self { reader, writer, published, last_applied }
    }

    async fn install(
        &mut self,
        meta: SnapshotMeta<NodeId, Member>,
        content: Vec<u8>,
    ) -> Result<(), StoreError> {
        let content = Arc::new(content);
        let decoded = {
            let content = Arc::clone(&content);
            let decode = spawn_blocking(move || ClusterState::decode(&content));
            decode.await.map_err(|_| StoreError::Closed).and_then(|state| Ok(state?))
        };
        // A state that cannot be read is a failure like one of the disk: the node cannot go on.
        let state = self.reader.alarm().watch(decoded)?;
        let snapshot = NewSnapshot { meta: meta.clone(), content };
        self.writer.call(|done| Task::Save { snapshot, done }).await?;
        self.last_applied = meta.last_log_id;
        let index = meta.last_log_id.map_or(0, |last| last.index);
        self.published.publish(|applied| {
            *applied = AppliedState {
                index,
                snapshot_index: index,
                bytes_since_snapshot: 0,
                state,
                members: meta.last_membership,
            };
        });
        Ok(())
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<NodeId>>, StoredMembership<NodeId, Member>), StorageError<NodeId>> {
        Ok((self.last_applied, self.published.current().members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Response>, StorageError<NodeId>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let current = self.published.current();
        let mut applying = Applying {
            last: self.last_applied,
            bytes: 0,
            state: current.state.clone(),
            members: current.members.clone(),
        };
        let responses = entries.into_iter().map(|entry| applying.apply(entry)).collect();
        let Applying { last, bytes, state, members } = applying;
        self.last_applied = last;
        self.published.publish(|applied| {
            applied.index = last.map_or(0, |last| last.index);
            applied.bytes_since_snapshot += bytes;
            applied.state = state;
            applied.members = members;
        });
        Ok(responses)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            writer: self.writer.clone(),
            published: self.published.clone(),
            applied: self.published.current(),
            last_applied: self.last_applied,
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Vec<u8>>, StorageError<NodeId>> {
        Ok(Box::default())
    }

    /// The snapshot is durable when this returns, and only then visible.
    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<NodeId, Member>,
        snapshot: Box<Vec<u8>>,
    ) -> Result<(), StorageError<NodeId>> {
        let installed = self.install(meta.clone(), *snapshot).await;
        installed.map_err(|error| {
            error.into_raft(ErrorSubject::Snapshot(Some(meta.signature())), ErrorVerb::Write)
        })
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError<NodeId>> {
        let database = Arc::clone(self.reader.database());
        let read = spawn_blocking(move || SnapshotRecord::read_whole(&database)).await;
        let read = self.reader.alarm().watch(read.unwrap_or(Err(StoreError::Closed)));
        let read = read.map_err(|error| error.into_raft(ErrorSubject::Snapshot(None), ErrorVerb::Read))?;
        Ok(read.map(|(record, content)| Snapshot { meta: record.meta, snapshot: Box::new(content) }))
    }
}

// === SnapshotBuilder ===

impl SnapshotBuilder {
    async fn build(&self) -> Result<Snapshot<TypeConfig>, StoreError> {
        let meta = SnapshotMeta {
            last_log_id: self.last_applied,
            last_membership: self.applied.members.clone(),
            snapshot_id: snapshot_id(self.last_applied),
        };
        let state = self.applied.state.clone();
        // Milliseconds for a large catalog: not on the thread of the heartbeats.
        let content = spawn_blocking(move || state.encode()).await.map_err(|_| StoreError::Closed)?;
        let content = Arc::new(content);
        let snapshot = NewSnapshot { meta: meta.clone(), content: Arc::clone(&content) };
        self.writer.call(|done| Task::Save { snapshot, done }).await?;
        let AppliedState { index, bytes_since_snapshot: bytes, .. } = *self.applied;
        self.published.publish(|applied| {
            // Another node's snapshot, installed meanwhile, covers more.
            if applied.snapshot_index < index {
                applied.snapshot_index = index;
                applied.bytes_since_snapshot = applied.bytes_since_snapshot.saturating_sub(bytes);
            }
        });
        Ok(Snapshot { meta, snapshot: Box::new(Arc::unwrap_or_clone(content)) })
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError<NodeId>> {
        let built = self.build().await;
        built.map_err(|error| error.into_raft(ErrorSubject::Snapshot(None), ErrorVerb::Write))
    }
}
