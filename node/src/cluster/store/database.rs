//! sled, opened: the lock, the repairs of what a crash leaves behind, and the one way to make writes durable.
//!
//! sled's own `flush` hands its buffer to the kernel and asks it to start writing, no more. Only a sync of the file
//! makes it last, so [`Database::sync`] does both, the second through a handle of its own on the same file.

mod directory;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sled::{Db, IVec, Tree};

use self::directory::Lock;
use super::error::StoreError;
use super::keys::{self, SEGMENT_BYTES, single, tree};
use super::value::{Parts, Spoiled, seal, unseal};
use crate::cluster::codec::{self, CodecError};

/// Memory for pages that were read or written lately, in bytes. The whole of a usual store fits.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// How often sled looks by itself for something to write or to move together, in milliseconds. Each look syncs the file,
/// and [`Database::sync`] has done so already: what is left to it is to reclaim the room of old values.
const LOOK_EVERY_MS: u64 = 5_000;

/// An open database. The locks go when the last reference does.
pub(super) struct Database {
    pub(super) singles: Tree,
    pub(super) log: Tree,
    pub(super) log_parts: Tree,
    pub(super) snapshot_parts: Tree,
    db: Db,
    /// The file of the database, for syncing.
    file: File,
    path: PathBuf,
    #[cfg(test)]
    pub(super) faults: super::tests::Faults,
    // Fields are dropped in order, and nobody may come in before sled is gone.
    _lock: Lock,
    /// Last of all: when it is dropped, all else has been.
    open: Arc<()>,
}

/// How long threads of an earlier store of this process may take to let go of its file, and how often that is looked at.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);
const RELEASE_RETRY: Duration = Duration::from_millis(10);

// === Database ===

impl Database {
    /// Opens the database in `directory`, which is made if it is not there. Waits up to `patience` for another
    /// process that has it open.
    pub(super) fn open(directory: &Path, patience: Duration) -> Result<Self, StoreError> {
        directory::make(directory)?;
        let lock = Lock::acquire(directory, patience)?;
        let db = open_repairing(directory)?;
        let sled = |error| explain(directory, error);
        let file = File::open(directory.join("db"))
            .map_err(|source| StoreError::Directory { path: directory.join("db"), source })?;
        Ok(Self {
            singles: Tree::clone(&db),
            log: db.open_tree(tree::LOG).map_err(sled)?,
            log_parts: db.open_tree(tree::LOG_PARTS).map_err(sled)?,
            snapshot_parts: db.open_tree(tree::SNAPSHOT_PARTS).map_err(sled)?,
            db,
            file,
            path: directory.to_owned(),
            #[cfg(test)]
            faults: super::tests::Faults::default(),
            _lock: lock,
            open: Arc::new(()),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// To see from outside when the database has been closed. A reference to the database itself would not tell: it is gone
    /// when the closing begins.
    pub(super) fn opened(&self) -> Weak<()> {
        Arc::downgrade(&self.open)
    }

    /// Makes all writes before this call durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        #[cfg(test)]
        self.faults.on_flush().map_err(|source| self.disk(source))?;
        self.db.flush().map_err(|error| self.explain(error))?;
        #[cfg(test)]
        self.faults.on_sync().map_err(|source| self.disk(source))?;
        self.file.sync_data().map_err(|source| self.disk(source))
    }

    /// Writes a value; it is durable after the next [`Self::sync`]. Writes become durable in their order: after a
    /// crash there is never a later one without the earlier ones.
    pub(super) fn put(&self, tree: &Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        #[cfg(test)]
        self.faults.on_write().map_err(|source| self.disk(source))?;
        debug_assert!(value.len() <= keys::MAX_VALUE_BYTES, "{} bytes would become a blob", value.len());
        tree.insert(key, value).map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// Removes a value.
    pub(super) fn remove(&self, tree: &Tree, key: &[u8]) -> Result<(), StoreError> {
        tree.remove(key).map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// Removes all values from one key to another.
    pub(super) fn remove_range(
        &self,
        tree: &Tree,
        range: impl std::ops::RangeBounds<[u8; 12]>,
    ) -> Result<(), StoreError> {
        for key in tree.range(range).keys() {
            self.remove(tree, &key.map_err(|error| self.explain(error))?)?;
        }
        Ok(())
    }

    /// Reads a value; none if there is none.
    pub(super) fn get(&self, tree: &Tree, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        tree.get(key).map_err(|error| self.explain(error))
    }

    /// Reads a single value that [`Self::put_single`] wrote.
    pub(super) fn single<T: serde::de::DeserializeOwned>(
        &self,
        key: &'static [u8],
    ) -> Result<Option<T>, StoreError> {
        let Some(sealed) = self.get(&self.singles, key)? else { return Ok(None) };
        let payload = unseal(&sealed).map_err(|Spoiled| self.spoiled(key))?;
        match codec::decode(payload) {
            Ok(value) => Ok(Some(value)),
            Err(error @ CodecError::Version(_)) => Err(error.into()),
            Err(error) => Err(self.damaged(format!("{}: {error}", key.escape_ascii()))),
        }
    }

    /// Writes a single value.
    pub(super) fn put_single(
        &self,
        key: &'static [u8],
        value: &impl serde::Serialize,
    ) -> Result<(), StoreError> {
        self.put(&self.singles, key, &seal(&codec::encode(value)?))
    }

    /// Puts a long value together; none if a part is missing.
    pub(super) fn join(&self, tree: &Tree, owner: u64, parts: Parts) -> Result<Option<Vec<u8>>, StoreError> {
        let mut payload = Vec::with_capacity(usize::try_from(parts.length).unwrap_or_default());
        for number in 0..parts.count {
            let Some(part) = self.get(tree, &keys::part(owner, number))? else { return Ok(None) };
            payload.extend_from_slice(&part);
        }
        Ok(parts.check(&payload).is_ok().then_some(payload))
    }

    /// Whether anything but an identity was ever written.
    pub(super) fn is_blank(&self) -> Result<bool, StoreError> {
        for key in [single::CLAIM, single::VOTE, single::COMMITTED, single::PURGED, single::SNAPSHOT] {
            if self.get(&self.singles, key)?.is_some() {
                return Ok(false);
            }
        }
        Ok(self.log.is_empty() && self.log_parts.is_empty() && self.snapshot_parts.is_empty())
    }

    pub(super) fn damaged(&self, detail: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), detail: detail.into() }
    }

    pub(super) fn spoiled(&self, key: &[u8]) -> StoreError {
        self.damaged(format!("the checksum of {} is wrong", key.escape_ascii()))
    }

    pub(super) fn explain(&self, error: sled::Error) -> StoreError {
        explain(&self.path, error)
    }

    fn disk(&self, source: io::Error) -> StoreError {
        StoreError::Disk { path: self.path.clone(), source }
    }
}

// === opening ===

/// Opens sled. What a crash during an earlier opening leaves behind is removed first, since sled takes it for
/// damage; if it complains nevertheless, its summary of the log is moved away once and made anew from the log.
fn open_repairing(directory: &Path) -> Result<Db, StoreError> {
    directory::remove_unfinished_summaries(directory)?;
    match open_sled(directory) {
        Err(StoreError::Damaged { detail, .. }) if directory::move_summaries_away(directory)? => {
            tracing::warn!(
                path = %directory.display(),
                detail,
                "the database's summary of its log is damaged: moved it away, reading the whole log"
            );
            open_sled(directory)
        }
        result => result,
    }
}

/// Opens sled. The lock of the directory is held, so that whoever holds sled's own is a thread of this process that
/// has not ended yet: sled lets go of its file a moment after its last handle.
fn open_sled(directory: &Path) -> Result<Db, StoreError> {
    let deadline = Instant::now() + RELEASE_PATIENCE;
    loop {
        match open_sled_once(directory) {
            Err(StoreError::Disk { source, .. })
                if source.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(RELEASE_RETRY);
            }
            opened => return opened,
        }
    }
}

fn open_sled_once(directory: &Path) -> Result<Db, StoreError> {
    let config = sled::Config::new()
        .path(directory)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(LOOK_EVERY_MS));
    // sled asserts some of what it reads; such a panic is damage as well.
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
    let damaged =
        |detail: &str| StoreError::Damaged { path: directory.to_owned(), detail: detail.to_owned() };
    opened.map_err(|_| damaged("the database cannot be read"))?.map_err(|error| explain(directory, error))
}

fn explain(directory: &Path, error: sled::Error) -> StoreError {
    let path = directory.to_owned();
    match error {
        // sled repeats an error as a text of its internals: the kind says it better.
        sled::Error::Io(source) if source.kind() != io::ErrorKind::Other => {
            StoreError::Disk { path, source: source.kind().into() }
        }
        sled::Error::Io(source) => StoreError::Disk { path, source },
        error @ sled::Error::Corruption { .. } => {
            StoreError::Damaged { path, detail: error.to_string().to_lowercase() }
        }
        other => StoreError::Damaged { path, detail: other.to_string() },
    }
}
