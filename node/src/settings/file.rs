//! The settings file: reading it, and writing the first one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::Settings;
use super::outcome::{FirstRun, SettingsError};
use super::sources::MissingFile;
use crate::random;

/// What is in the file, or that there is none.
pub(super) struct Contents {
    /// The text; `None` without a file.
    pub(super) text: Option<Vec<u8>>,
    /// Set when the file was written by this call.
    pub(super) first_run: Option<FirstRun>,
}

/// Reads the file, or does what `missing` says.
pub(super) fn read(path: &Path, missing: MissingFile) -> Result<Contents, SettingsError> {
    match std::fs::read(path) {
        Ok(text) => return Ok(Contents { text: Some(text), first_run: None }),
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(SettingsError::Read { path: path.to_owned(), source });
        }
        Err(_) => {}
    }
    match missing {
        MissingFile::Refuse => Err(SettingsError::Missing { path: path.to_owned() }),
        MissingFile::UseDefaults => Ok(Contents { text: None, first_run: None }),
        MissingFile::Create => {
            create(path).map_err(|source| SettingsError::Create { path: path.to_owned(), source })
        }
    }
}

/// The objects of a node that was given none: one Ollama on this machine behind one frontend for every host.
pub(super) fn first_objects() -> Value {
    json!({
        "Frontends": [{
            "Identifier": "frontend1",
            "Name": "My first virtual Ollama",
            "Hostname": "*",
            "Backends": ["backend1"]
        }],
        "Backends": [{
            "Identifier": "backend1",
            "Name": "Ollama on this machine",
            "Hostname": "localhost",
            "Port": 11434,
            "ApiFormat": "Ollama"
        }]
    })
}

/// Writes the first file. Everything not in it has its default, so that it stays short and later defaults apply.
fn create(path: &Path) -> io::Result<Contents> {
    let token = random::token()?;
    let Settings { webserver, sticky_headers, .. } = Settings::default();
    let mut document = json!({
        "Webserver": { "Hostname": webserver.hostname, "Port": webserver.port },
        "AdminBearerTokens": [token.expose()],
        "StickyHeaders": sticky_headers
    });
    if let (Value::Object(document), Value::Object(objects)) = (&mut document, first_objects()) {
        document.extend(objects);
    }
    let mut text = serde_json::to_vec_pretty(&document)?;
    text.push(b'\n');

    let mut file = private_options().open(path)?;
    if let Err(error) = file.write_all(&text).and_then(|()| file.sync_all()) {
        // Half a file would be an error at the next start; without one that start is a first run again.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    sync_directory(path);
    let first_run = FirstRun { path: path.to_owned(), admin_token: token };
    Ok(Contents { text: Some(text), first_run: Some(first_run) })
}

/// A file that did not exist before and that only its owner can read: it holds tokens.
fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the new name durable. Some file systems cannot do that; the file itself is safe by then.
fn sync_directory(path: &Path) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(directory) = File::open(directory) {
        let _ = directory.sync_all();
    }
}
