//! What a node is started with: settings, objects, environment, arguments.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Node;
use crate::objects::{Backend, Frontend};

/// The settings file's name.
pub(super) const SETTINGS_FILE: &str = "ollamaflow.json";

/// The admin token of the test settings.
pub const ADMIN_TOKEN: &str = "test-token";

/// A node to be configured.
#[derive(Debug, Clone)]
pub struct NodeBuilder {
    settings: Value,
    frontends: Vec<Frontend>,
    backends: Vec<Backend>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) arguments: Vec<String>,
    pub(super) directory: Option<Arc<TempDir>>,
}

impl Default for NodeBuilder {
    /// Health checks so fast that tests need not wait, and few workers.
    fn default() -> Self {
        let settings = json!({
            "Webserver": { "Workers": 2 },
            "AdminBearerTokens": [ADMIN_TOKEN],
            "HealthCheck": {
                "IntervalMs": 200,
                "TimeoutMs": 1000,
                "StartupIntervalMs": 20,
                "JitterPercent": 0,
            },
        });
        Self {
            settings,
            frontends: Vec::new(),
            backends: Vec::new(),
            environment: Vec::new(),
            arguments: Vec::new(),
            directory: None,
        }
    }
}

impl NodeBuilder {
    /// Adds a frontend.
    #[must_use]
    pub fn frontend(mut self, frontend: Frontend) -> Self {
        self.frontends.push(frontend);
        self
    }

    /// Adds a backend.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backends.push(backend);
        self
    }

    /// Merges settings over those of the tests: objects member by member, null removes, all else replaces.
    #[must_use]
    pub fn settings(mut self, overrides: &Value) -> Self {
        merge(&mut self.settings, overrides);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument after `--listen`.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Gives another value to an argument that was added before.
    #[must_use]
    pub fn replace_arg(mut self, flag: &str, value: &str) -> Self {
        let place = self.arguments.iter().position(|argument| argument == flag);
        let place = place.unwrap_or_else(|| panic!("there is no {flag}"));
        value.clone_into(&mut self.arguments[place + 1]);
        self
    }

    /// Runs in this directory rather than in one of its own. It is kept as long as somebody holds it.
    #[must_use]
    pub fn directory(mut self, directory: Arc<TempDir>) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Starts the node and waits until it listens.
    pub async fn start(self) -> Node {
        Node::launch(self).await.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Starts the node; the error tells how it ended before it listened, with the end of its output.
    pub async fn try_start(self) -> Result<Node, String> {
        Node::launch(self).await
    }

    /// Writes the settings file. A reader sees the old file or the new one, never half of it.
    pub(super) fn write_settings(&self, directory: &Path) {
        let mut settings = self.settings.clone();
        settings["Frontends"] = self.frontends.iter().map(Frontend::json).collect();
        settings["Backends"] = self.backends.iter().map(Backend::json).collect();
        let written = directory.join("ollamaflow.json.new");
        let text = format!("{settings:#}\n");
        let result = std::fs::write(&written, text)
            .and_then(|()| std::fs::rename(&written, directory.join(SETTINGS_FILE)));
        result.unwrap_or_else(|e| panic!("settings file not written: {e}"));
    }
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        match target.as_object_mut() {
            Some(members) if value.is_null() => drop(members.shift_remove(name)),
            Some(members) => merge(members.entry(name.clone()).or_insert(Value::Null), value),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_merged_member_by_member() {
        let builder = NodeBuilder::default()
            .settings(&json!({ "HealthCheck": { "IntervalMs": 50, "TimeoutMs": null } }));
        let expected = json!({ "IntervalMs": 50, "StartupIntervalMs": 20, "JitterPercent": 0 });
        assert_eq!(builder.settings["HealthCheck"], expected);
        assert_eq!(builder.settings["AdminBearerTokens"], json!([ADMIN_TOKEN]));
    }
}
