//! What loading settings comes to: a complete set, or every reason why not.

use std::io;
use std::path::PathBuf;

use ollamaflow_protocol::catalog::Catalog;
use ollamaflow_protocol::object::{JsonPath, Secret};
use serde_json::Value;
use thiserror::Error;

use super::layers::{Origin, Origins, lookup};
use super::{ClusterPlan, Settings};

/// Settings that are complete and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The effective settings.
    pub settings: Settings,
    /// Which layer each of them came from.
    pub origins: Origins,
    /// What the operator should be told: unknown names, settings without effect. One sentence each.
    pub notices: Vec<String>,
    /// What the section `Cluster` comes to.
    pub cluster: ClusterPlan,
    /// The configured objects, cross-checked.
    pub catalog: Catalog,
    /// The settings file, whether or not it exists.
    pub file: PathBuf,
    /// Set when the file was written just now.
    pub first_run: Option<FirstRun>,
}

/// A settings file that was written because there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstRun {
    /// The new file.
    pub path: PathBuf,
    /// The admin token in it, to be shown to the operator once.
    pub admin_token: Secret,
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{source_name}: {sentence}")]
pub struct Problem {
    /// Which layer it came from.
    pub origin: Origin,
    /// That layer for people: the file's path, the variable or the flag.
    pub source_name: String,
    /// What is wrong, starting with the JSON path.
    pub sentence: String,
}

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// There is no file and none may be written.
    #[error("there is no settings file {}: name an existing one", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("cannot read the settings file {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The first file cannot be written.
    #[error(
        "there is no settings file {} and a first one cannot be written: {source} (its directory must exist and be writable; --config names another place)",
        .path.display()
    )]
    Create {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// What was read breaks rules.
    #[error("{}", join(.0))]
    Invalid(Vec<Problem>),
}

// === Loaded ===

impl Loaded {
    /// Every setting with its effective value and its origin, in order. Secrets are redacted.
    pub fn effective(&self) -> Vec<(&JsonPath, Value, &Origin)> {
        let document = serde_json::to_value(&self.settings).unwrap_or_default();
        let value = |path: &JsonPath| lookup(&document, path.segments()).cloned().unwrap_or_default();
        self.origins.iter().map(|(path, origin)| (path, value(path), origin)).collect()
    }
}

// === SettingsError ===

impl SettingsError {
    /// Every problem as a line of its own.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Invalid(problems) => problems.iter().map(ToString::to_string).collect(),
            other => vec![other.to_string()],
        }
    }
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
