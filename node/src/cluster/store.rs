//! The disk of a node: its log, vote, snapshots and identity, in sled.
//!
//! In: what openraft writes, through [`LogStore`] and [`StateMachine`]. Out: the [`AppliedState`], in memory, and
//! [`Health`]. The applied state is not written at every change: on disk it is the newest snapshot and the entries
//! after it, up to the last one that is known to be agreed on. [`Store::into_raft`] puts it together again, so that a
//! node serves before it has heard from any other.
//!
//! All writes are made by one thread, in the order in which they were asked for; what must last is flushed and
//! synced before it is answered. After the first failure nothing is written any more. What the entries mean and who
//! the other nodes are is not known here.

mod database;
mod error;
mod health;
mod identity;
mod keys;
mod load;
mod log;
mod machine;
mod marker;
mod marks;
mod reader;
mod snapshot;
mod state;
mod value;
mod writer;

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use self::database::Database;
use self::health::Alarm;
use self::load::Loaded;
use self::marker::Marker;
use self::reader::EntryReader;
use self::writer::Writer;

pub use self::error::StoreError;
pub use self::health::Health;
pub use self::identity::{Claim, Identity};
pub use self::log::LogStore;
pub use self::machine::StateMachine;
pub use self::marks::Marks;
pub use self::state::{AppliedState, StateReader};

#[cfg(test)]
mod tests;

/// How long opening waits for another process to let go of the directory: one that is being replaced has often not
/// ended yet when its successor starts.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// An open data directory, its lock held.
pub struct Store {
    database: Arc<Database>,
    identity: Identity,
}

/// A look at a store from outside, which does not keep it open.
#[derive(Clone)]
pub struct Opened(Weak<()>);

/// What the consensus needs of a store.
pub struct RaftParts {
    /// Log and vote.
    pub log: LogStore,
    /// What applies the entries.
    pub machine: StateMachine,
    /// The state that was applied; complete up to the last entry that is known to be agreed on.
    pub state: StateReader,
    /// How far the log is agreed on, and how elections went.
    pub marks: Marks,
    /// Whether the store works. After a failure nothing is written or confirmed any more.
    pub health: watch::Receiver<Health>,
}

// === Store ===

impl Store {
    /// Opens the store in `directory`, which is made if it is not there. Blocks: up to two seconds if another
    /// process has it open.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_within(directory, LOCK_PATIENCE)
    }

    fn open_within(directory: &Path, patience: Duration) -> Result<Self, StoreError> {
        // Before anything else is touched: a newer version may keep its data in another way.
        let marker = Marker::read(directory)?;
        if marker.is_some() && !directory.join("db").exists() {
            let detail = "the file of the database is gone".to_owned();
            return Err(StoreError::Damaged { path: directory.to_owned(), detail });
        }
        let database = Database::open(directory, patience)?;
        // Again under the lock: another process may just have made it.
        let marker = Marker::read(directory)?;
        let identity = Identity::load(&database, marker)?;
        Ok(Self { database: Arc::new(database), identity })
    }

    /// Whose data this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// To see when it is closed.
    pub fn opened(&self) -> Opened {
        Opened(self.database.opened())
    }

    /// Gives the store to a node; durable when this returns. Refused if another one has it.
    pub fn claim(&mut self, claim: Claim) -> Result<(), StoreError> {
        self.identity.claim(&self.database, claim)
    }

    /// Reads the applied state and starts the io thread, which ends when log and machine are dropped. Blocks.
    pub fn into_raft(self) -> Result<RaftParts, StoreError> {
        let Self { database, .. } = self;
        let loaded = Loaded::from(&database)?;
        let alarm = Alarm::new();
        let health = alarm.subscribe();
        let (state, last_applied) = (StateReader::new(loaded.applied), loaded.last_applied);
        let reader = EntryReader::new(Arc::clone(&database), alarm.clone(), loaded.purged);
        let writer = Writer::start(database, alarm, reader.purged(), loaded.snapshot, state.clone())?;
        let machine = StateMachine::new(reader.clone(), writer.clone(), state.clone(), last_applied);
        let marks = Marks::default();
        let log = LogStore::new(reader, writer, marks.clone());
        Ok(RaftParts { log, machine, state, marks, health })
    }
}

// === Opened ===

impl Opened {
    /// Whether some part of the store is still held, or being closed.
    pub fn is_open(&self) -> bool {
        self.0.strong_count() > 0
    }
}
