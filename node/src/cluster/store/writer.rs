//! The io thread: every write of the consensus, in the order in which it was asked for.
//!
//! Writes that came while the last ones were being synced share the next sync. The queue is bounded by construction:
//! the consensus, its state machine and the one snapshot under way each wait for their answer before they ask again.
//!
//! A snapshot is written in slices, each when the log has nothing to do, and becomes the newest one only when all of
//! it is durable. Entries are deleted from the disk only when a durable snapshot covers them, though openraft asks
//! for that as soon as it has begun to install a snapshot: a crash in between must not leave a gap.

mod entries;
mod saving;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use ollamaflow_protocol::cluster::NodeId;
use openraft::storage::LogFlushed;
use openraft::{Entry, LogId, Vote};
use tokio::sync::oneshot;

use self::entries::{Appended, Entries};
use self::saving::Saving;
use super::database::Database;
use super::error::StoreError;
use super::health::Alarm;
use super::keys::single;
use super::reader::Purged;
use super::snapshot::{NewSnapshot, SnapshotRecord};
use super::state::StateReader;
use super::value::Stowed;
use crate::cluster::codec;
use crate::cluster::types::TypeConfig;

/// Room in the queue: many times what can be there, see above.
const MAX_QUEUE: usize = 64;

/// How long a write may stay in memory that nobody waits for, such as how far the log is agreed on.
const MAX_IDLE_BEFORE_SYNC: Duration = Duration::from_millis(50);

/// Where the outcome of a task is awaited.
pub(super) type Reply = oneshot::Sender<Result<(), StoreError>>;

/// An entry ready to be stored.
pub(super) struct Prepared {
    index: u64,
    value: Stowed,
}

/// Something to write.
pub(super) enum Task {
    /// Adds entries to the log.
    Append { entries: Vec<Prepared>, written: Reply, flushed: LogFlushed<TypeConfig> },
    /// Keeps a vote; answered when it is durable.
    Vote { vote: Vote<NodeId>, done: Reply },
    /// Notes how far the log is agreed on; answered at once.
    Committed { committed: Option<LogId<NodeId>>, done: Reply },
    /// Deletes the entries from `since` on; answered when that is durable.
    Truncate { since: u64, done: Reply },
    /// Deletes the entries up to `upto`; answered when readers do not see them any more.
    Purge { upto: LogId<NodeId>, done: Reply },
    /// Keeps a snapshot; answered when it is durable, or when there is a newer one.
    Save { snapshot: NewSnapshot, done: Reply },
}

/// Asks the io thread to write. The thread ends with the last clone.
#[derive(Clone)]
pub(super) struct Writer {
    tasks: SyncSender<Task>,
    alarm: Alarm,
}

/// Who waits for the next sync.
enum Waiting {
    Reply(Reply),
    Log(LogFlushed<TypeConfig>),
}

/// The thread.
struct Thread {
    database: Arc<Database>,
    alarm: Alarm,
    tasks: Receiver<Task>,
    entries: Entries,
    saving: Saving,
    /// An append that must wait for a snapshot.
    parked: Option<(Vec<Prepared>, Reply, LogFlushed<TypeConfig>)>,
    waiting: Vec<Waiting>,
    /// Whether there are writes since the last sync.
    dirty: bool,
}

/// What the queue has.
enum Next {
    Task(Task),
    Nothing,
    Closed,
}

// === Prepared ===

impl Prepared {
    pub(super) fn new(entry: &Entry<TypeConfig>) -> Result<Self, StoreError> {
        Ok(Self { index: entry.log_id.index, value: Stowed::new(codec::encode(entry)?)? })
    }
}

// === Writer ===

impl Writer {
    pub(super) fn start(
        database: Arc<Database>,
        alarm: Alarm,
        purged: Purged,
        snapshot: Option<SnapshotRecord>,
        applied: StateReader,
    ) -> Result<Self, StoreError> {
        let (sender, tasks) = sync_channel(MAX_QUEUE);
        let path = database.path().to_owned();
        let covered = snapshot.as_ref().and_then(SnapshotRecord::last_log_id);
        let thread = Thread {
            entries: Entries::open(Arc::clone(&database), purged, covered, applied)?,
            saving: Saving::new(Arc::clone(&database), snapshot),
            database,
            alarm: alarm.clone(),
            tasks,
            parked: None,
            waiting: Vec::new(),
            dirty: false,
        };
        std::thread::Builder::new()
            .name("raft-io".to_owned())
            .spawn(move || thread.run())
            .map_err(|source| StoreError::Directory { path, source })?;
        Ok(Self { tasks: sender, alarm })
    }

    /// Has a task done and waits for its outcome.
    pub(super) async fn call(&self, task: impl FnOnce(Reply) -> Task) -> Result<(), StoreError> {
        self.alarm.check()?;
        let (reply, outcome) = oneshot::channel();
        // A full queue is as impossible as a thread that is gone, and as hopeless.
        self.tasks.try_send(task(reply)).map_err(|_| self.alarm.raise(&StoreError::Closed))?;
        outcome.await.unwrap_or_else(|_| Err(self.alarm.raise(&StoreError::Closed)))
    }
}

// === Thread ===

impl Thread {
    fn run(mut self) {
        loop {
            match self.next() {
                Next::Task(task) => {
                    self.take(task);
                    // What came meanwhile shares the sync.
                    while self.waiting.len() < MAX_QUEUE {
                        let Ok(task) = self.tasks.try_recv() else { break };
                        self.take(task);
                    }
                    self.sync_for_waiting();
                }
                Next::Nothing => self.idle(),
                Next::Closed => break,
            }
        }
        if self.dirty && self.alarm.check().is_ok() {
            let _ = self.alarm.watch(self.database.sync());
        }
    }

    fn next(&self) -> Next {
        if self.saving.is_busy() {
            return match self.tasks.try_recv() {
                Ok(task) => Next::Task(task),
                Err(TryRecvError::Empty) => Next::Nothing,
                Err(TryRecvError::Disconnected) => Next::Closed,
            };
        }
        if self.dirty || self.parked.is_some() {
            return match self.tasks.recv_timeout(MAX_IDLE_BEFORE_SYNC) {
                Ok(task) => Next::Task(task),
                Err(RecvTimeoutError::Timeout) => Next::Nothing,
                Err(RecvTimeoutError::Disconnected) => Next::Closed,
            };
        }
        self.tasks.recv().map_or(Next::Closed, Next::Task)
    }

    fn take(&mut self, task: Task) {
        match task {
            Task::Append { entries, written, flushed } => self.append(entries, written, flushed),
            Task::Vote { vote, done } => {
                let result = self.try_write(|thread| thread.database.put_single(single::VOTE, &vote));
                self.answer_when_durable(result, done);
            }
            Task::Committed { committed, done } => {
                let result = self.try_write(|thread| match committed {
                    Some(committed) => thread.database.put_single(single::COMMITTED, &committed),
                    None => thread.database.remove(&thread.database.singles, single::COMMITTED),
                });
                let _ = done.send(result);
            }
            Task::Truncate { since, done } => {
                let result = self.try_write(|thread| thread.entries.truncate(since));
                self.answer_when_durable(result, done);
            }
            Task::Purge { upto, done } => {
                let result = self.try_write(|thread| thread.entries.purge(upto));
                let _ = done.send(result);
            }
            Task::Save { snapshot, done } => self.saving.push(snapshot, done),
        }
    }

    fn append(&mut self, entries: Vec<Prepared>, written: Reply, flushed: LogFlushed<TypeConfig>) {
        match self.try_write(|thread| thread.entries.append(entries)) {
            Ok(Appended::Written) => {
                let _ = written.send(Ok(()));
                self.waiting.push(Waiting::Log(flushed));
            }
            // Nothing comes after it meanwhile: the consensus waits for the answer.
            Ok(Appended::MustWait(entries)) => self.parked = Some((entries, written, flushed)),
            Err(error) => {
                let _ = written.send(Err(error));
            }
        }
    }

    /// Writes, unless a failure stands.
    fn try_write<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.alarm.check()?;
        self.dirty = true;
        let result = write(self);
        self.alarm.watch(result)
    }

    fn answer_when_durable(&mut self, result: Result<(), StoreError>, done: Reply) {
        match result {
            Ok(()) => self.waiting.push(Waiting::Reply(done)),
            Err(error) => {
                let _ = done.send(Err(error));
            }
        }
    }

    fn sync_for_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let synced = self.sync();
        for waiting in self.waiting.drain(..) {
            // Each gets the reason that stands.
            let outcome = synced.as_ref().map(|&()| ()).map_err(|error| self.alarm.raise(error));
            match waiting {
                Waiting::Reply(reply) => {
                    let _ = reply.send(outcome);
                }
                Waiting::Log(flushed) => flushed.log_io_completed(outcome.map_err(std::io::Error::other)),
            }
        }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.alarm.check()?;
        self.alarm.watch(self.database.sync())?;
        self.dirty = false;
        Ok(())
    }

    /// The queue is empty: goes on with a snapshot, and syncs what nobody waits for.
    fn idle(&mut self) {
        if self.saving.is_busy() {
            let advanced = self.try_write(|thread| thread.saving.advance());
            match advanced {
                Ok(None) => return,
                Ok(Some(covered)) => {
                    let _ = self.try_write(|thread| thread.entries.cover(covered));
                }
                Err(error) => self.saving.fail(&self.alarm, &error),
            }
        } else if self.dirty {
            let _ = self.sync();
        }
        if let Some((entries, written, flushed)) = self.parked.take() {
            self.append(entries, written, flushed);
            self.sync_for_waiting();
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Whoever waits hears that the reply was dropped; everybody else learns it from the health.
            self.alarm.raise(&StoreError::Closed);
        }
    }
}
