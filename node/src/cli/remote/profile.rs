//! `~/.config/ollamaflow/config.toml`: the node that a user mostly works with.
//!
//! ```toml
//! server = "https://node1:43411"
//! token = "an admin token"
//! ```

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use ollamaflow_protocol::object::Secret;
use serde::Deserialize;
use thiserror::Error;

/// Where it is below the directory of configurations.
const PLACE: &str = "ollamaflow/config.toml";

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Profile {
    /// URL of the node.
    pub(in crate::cli) server: Option<String>,
    /// Admin token.
    pub(in crate::cli) token: Option<Secret>,
    /// URL for requests of clients, where that is another one.
    pub(in crate::cli) client_url: Option<String>,
}

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// It is there and cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It is not what it should be. The text at fault is left out: it may be a secret.
    #[error("{} line {line}: {reason} (known are server, token and client_url, each a text in quotes)", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where in it, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// The file of these variables, by the XDG Base Directory Specification; none without a home.
pub(in crate::cli) fn path(environment: &[(OsString, OsString)]) -> Option<PathBuf> {
    let variable = |name: &str| {
        let found = environment.iter().rev().find(|(known, _)| known == name);
        // A relative path is to be passed over, says the specification.
        found.map(|(_, value)| Path::new(value)).filter(|path| path.is_absolute())
    };
    let configurations = variable("XDG_CONFIG_HOME").map(Path::to_owned);
    Some(configurations.or_else(|| Some(variable("HOME")?.join(".config")))?.join(PLACE))
}

/// Reads the file; one that is not there says nothing.
pub(super) fn load(environment: &[(OsString, OsString)]) -> Result<Profile, ProfileError> {
    let Some(path) = path(environment) else { return Ok(Profile::default()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text).map_err(|(line, reason)| ProfileError::Content { path, line, reason }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Profile::default())
        }
        Err(source) => Err(ProfileError::Read { path, source }),
    }
}

/// The error has its line and its reason, without the text at fault.
fn parse(text: &str) -> Result<Profile, (usize, String)> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or_default();
        let reason = error.message().split(['`', '"']).next().unwrap_or_default().trim();
        let reason = reason.trim_end_matches([',', ':']).trim_end_matches(" string").to_owned();
        (before.matches('\n').count() + 1, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn the_file_is_where_the_specification_says() {
        let at = |variables: &[(&str, &str)]| path(&environment(variables));
        let home = ("HOME", "/home/a");
        assert_eq!(at(&[home]), Some("/home/a/.config/ollamaflow/config.toml".into()));
        assert_eq!(at(&[home, ("XDG_CONFIG_HOME", "/c")]), Some("/c/ollamaflow/config.toml".into()));
        assert_eq!(
            at(&[home, ("XDG_CONFIG_HOME", "c")]),
            Some("/home/a/.config/ollamaflow/config.toml".into())
        );
        assert_eq!(at(&[]), None);
    }

    #[test]
    fn a_file_names_the_node_and_the_token() {
        let profile = parse("server = \"a:1\"\ntoken = 't' # mine\n").unwrap();
        assert_eq!((profile.server.as_deref(), profile.token), (Some("a:1"), Some(Secret::new("t"))));
        assert_eq!(parse("").unwrap(), Profile::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_the_secret() {
        for (text, line) in [
            ("server = \"a\"\ntokn = \"hunter2\"", 2),
            ("token = hunter2", 1),
            ("\n\ntoken = [\"hunter2\"]", 3),
            ("token = \"hunter2", 1),
        ] {
            let (at, reason) = parse(text).unwrap_err();
            assert_eq!(at, line, "{text}: {reason}");
            assert!(!reason.contains("hunter2") && !reason.is_empty(), "{reason}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_str().unwrap();
        assert_eq!(load(&environment(&[("HOME", home)])).unwrap(), Profile::default());
        std::fs::create_dir_all(directory.path().join(".config").join(PLACE)).unwrap();
        assert!(matches!(load(&environment(&[("HOME", home)])), Err(ProfileError::Read { .. })));
    }
}
