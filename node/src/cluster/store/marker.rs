//! The file `format`: says, before the database is touched, that a directory is in use and in which format.
//!
//! The database opens as an empty one when its file was lost or cut; only something beside it can tell an empty
//! node from a damaged one. The file is written once, after the database has the same incarnation on disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use super::error::StoreError;

/// The format that is written, and the newest that is read.
pub(super) const FORMAT: u32 = 1;

const NAME: &str = "format";
const TITLE: &str = "ollamaflow cluster data";

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    /// The incarnation of the node whose data it is.
    pub(super) incarnation: u128,
}

// === Marker ===

impl Marker {
    /// Reads it; none if there is no file. A newer format is refused, whatever else the file says.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, StoreError> {
        let path = directory.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Directory { path, source }),
        };
        let damaged = || StoreError::Damaged {
            path: directory.to_owned(),
            detail: format!("the file {NAME} is not what this program wrote"),
        };
        let mut lines = text.lines();
        let title = lines.next();
        let found = lines.next().and_then(|line| line.strip_prefix("format ")?.parse().ok());
        match (title, found) {
            (Some(TITLE), Some(FORMAT)) => {}
            (Some(TITLE), Some(found)) if found > FORMAT => {
                return Err(StoreError::Newer { path: directory.to_owned(), found });
            }
            _ => return Err(damaged()),
        }
        let incarnation = lines.next().and_then(|line| line.strip_prefix("incarnation "));
        let incarnation = incarnation.and_then(|digits| u128::from_str_radix(digits, 16).ok());
        Ok(Some(Self { incarnation: incarnation.ok_or_else(damaged)? }))
    }

    /// Writes it, and the directory's list of files, to the disk.
    pub(super) fn write(self, directory: &Path) -> Result<(), StoreError> {
        let fresh = directory.join(format!("{NAME}.new"));
        let text = format!("{TITLE}\nformat {FORMAT}\nincarnation {:032x}\n", self.incarnation);
        let write = || -> io::Result<()> {
            let mut file = File::create(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, directory.join(NAME))?;
            File::open(directory)?.sync_all()
        };
        write().map_err(|source| StoreError::Directory { path: directory.join(NAME), source })
    }
}
