//! Files that the commands read and write: bounded, private, and never half written over another.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Largest file that is read, in bytes; nothing that a node accepts is near it.
pub(super) const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Why a file was not read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", name(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It is too large.
    #[error("{} has more than {} MiB, which is more than any node takes", name(.path), MAX_FILE / 1024 / 1024)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is there already.
    #[error("{} exists already and is left as it is: choose another name, or --force to replace it", name(.path))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write {}: {source}", name(.path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Whether `path` stands for the standard input.
pub(super) fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The content of a file, or of the standard input for `-`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let opened = if is_standard_input(path) {
        read_bounded(io::stdin().lock())
    } else {
        File::open(path).and_then(read_bounded)
    };
    let content = opened.map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    content.ok_or_else(|| FileError::TooLarge { path: path.to_owned() })
}

/// None if there is more than the bound.
fn read_bounded(source: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    source.take(MAX_FILE + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= MAX_FILE).then_some(content))
}

/// Writes a file that only its owner can read. One that is there is replaced as a whole with `force`, and left as
/// it is without.
pub(super) fn write_private(path: &Path, content: &[u8], force: bool) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    if !force {
        return match write_new(path, content) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(FileError::Exists { path: path.to_owned() })
            }
            other => other.map_err(failed),
        };
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    write_new(&partial, content).map_err(failed)?;
    std::fs::rename(&partial, path).map_err(|source| {
        let _ = std::fs::remove_file(&partial);
        failed(source)
    })
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content).and_then(|()| file.sync_all()).inspect_err(|_| {
        // Half a file must not pass for a whole one.
        let _ = std::fs::remove_file(path);
    })
}

/// The file, for people.
pub(super) fn name(path: &Path) -> String {
    if is_standard_input(path) { "the standard input".to_owned() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_private_and_replaced_only_by_force() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("backup.json");
        write_private(&path, b"first", false).unwrap();
        let error = write_private(&path, b"second", false).unwrap_err();
        assert!(matches!(error, FileError::Exists { .. }), "{error}");
        assert_eq!(read(&path).unwrap(), b"first");

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            write_private(&path, b"second", true).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn what_cannot_be_read_or_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let absent = directory.path().join("absent").join("file");
        for error in [
            read(&absent).unwrap_err(),
            write_private(&absent, b"", false).unwrap_err(),
            write_private(&absent, b"", true).unwrap_err(),
        ] {
            assert!(error.to_string().contains(&absent.display().to_string()), "{error}");
        }
        assert_eq!(read_bounded(io::repeat(0)).unwrap(), None);
    }
}
