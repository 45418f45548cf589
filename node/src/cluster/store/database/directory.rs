//! The directory of a store: made for its owner only, locked, and cleaned of what a crash left.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cluster::store::error::StoreError;

/// Between two looks at a lock that another process holds.
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// Held while the database is open. The system takes it back when the process ends, however it ends.
pub(super) struct Lock {
    _file: File,
}

/// Makes the directory if it is not there. Secrets will be in it: only its owner may look.
pub(super) fn make(directory: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::Directory { path: directory.to_owned(), source };
    if directory.try_exists().map_err(refuse)? {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(refuse)?;
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all()).map_err(refuse)
}

// === Lock ===

impl Lock {
    /// Takes the lock, and waits up to `patience` for it: the process before this one may be on its way out.
    pub(super) fn acquire(directory: &Path, patience: Duration) -> Result<Self, StoreError> {
        let path = directory.join("lock");
        let refuse = |source| StoreError::Directory { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let file =
            options.create(true).write(true).truncate(false).mode(0o600).open(&path).map_err(refuse)?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_INTERVAL);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::InUse { path: directory.to_owned() });
                }
                Err(TryLockError::Error(source)) => return Err(refuse(source)),
            }
        }
    }
}

// === sled's summaries of its log ===

/// Removes summaries that were not finished.
pub(super) fn remove_unfinished_summaries(directory: &Path) -> Result<(), StoreError> {
    for path in summaries(directory)? {
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(&path).map_err(|source| StoreError::Directory { path, source })?;
        }
    }
    Ok(())
}

/// Moves all summaries away; tells whether there were any.
pub(super) fn move_summaries_away(directory: &Path) -> Result<bool, StoreError> {
    let found = summaries(directory)?;
    for path in &found {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = path.with_file_name(format!("damaged-{name}"));
        fs::rename(path, target).map_err(|source| StoreError::Directory { path: path.clone(), source })?;
    }
    Ok(!found.is_empty())
}

fn summaries(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("snap.") {
                found.push(entry.path());
            }
        }
        Ok(found)
    };
    list().map_err(|source| StoreError::Directory { path: directory.to_owned(), source })
}
