//! A command with what is needed to apply it the same way everywhere, and its text in the log.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::command::Command;
use super::hex128;
use super::nodes::NodeId;
use crate::time::Timestamp;

/// The version of commands that this code writes, and the newest that it applies. It grows with every change after
/// which an older node would apply a command differently. A leader must not propose a schema above the lowest that
/// the members know: a node refuses what is newer, while its peers apply it.
pub const SCHEMA: u16 = 1;

/// Longest text of a command: a whole catalog of the largest size and something for its frame.
pub const MAX_COMMAND_BYTES: usize = super::MAX_CATALOG_BYTES + 64 * 1024;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Envelope {
    /// The version of the command, see [`SCHEMA`].
    pub schema: u16,
    /// Random id of the write, the same in every retry, so that it is applied once; 0 for none.
    #[serde(with = "hex128")]
    pub request: u128,
    /// When the write was accepted, by the clock of the node that did.
    pub at: Timestamp,
    /// The name of the admin token that asked for it.
    pub by: String,
    /// The node that accepted it.
    pub node: NodeId,
    /// What to do.
    pub command: Command,
}

/// The command is too long for the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the change takes {bytes} bytes, but at most {MAX_COMMAND_BYTES} fit: send it in smaller parts")]
pub struct EnvelopeTooLarge {
    /// Length of its text.
    pub bytes: usize,
}

// === Envelope ===

impl Envelope {
    /// A command of the present schema.
    pub fn new(request: u128, at: Timestamp, by: impl Into<String>, node: NodeId, command: Command) -> Self {
        Self { schema: SCHEMA, request, at, by: by.into(), node, command }
    }

    /// The text for the log. **It holds secrets in clear.**
    pub fn encode(&self) -> Result<String, EnvelopeTooLarge> {
        // JSON fails for keys that are no text only, and there are none.
        let text = serde_json::to_string(self).map_err(|_| EnvelopeTooLarge { bytes: usize::MAX })?;
        if text.len() > MAX_COMMAND_BYTES { Err(EnvelopeTooLarge { bytes: text.len() }) } else { Ok(text) }
    }

    /// Reads a text of the log. There is no failure: what cannot be read becomes a [`Command::Unknown`], which is
    /// refused when it is applied, because an entry that the cluster has agreed on cannot be sent back.
    pub fn decode(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::unreadable(text))
    }

    fn unreadable(text: &str) -> Self {
        let document: Value = serde_json::from_str(text).unwrap_or_default();
        let schema = document.get("Schema").and_then(Value::as_u64).and_then(|schema| schema.try_into().ok());
        let command = document.get("Command").cloned().unwrap_or_default();
        Self {
            schema: schema.unwrap_or_default(),
            request: 0,
            at: Timestamp::EPOCH,
            by: String::new(),
            node: 0,
            command: Command::Unknown(command.into()),
        }
    }
}
