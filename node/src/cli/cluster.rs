//! `ollamaflow cluster ...`: asks a running node about its cluster, or to change it.
//!
//! Each command is one call of the admin API. What it answers goes to the output, in sentences or as the JSON that
//! it is; what goes wrong to the errors.

mod render;

use std::io::{self, Write};
use std::path::PathBuf;

use ollamaflow_protocol::cluster::NodeId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::remote::{Access, Answer, Call, Remote, RemoteError, block_on};
use super::screen::Screen;
use super::{AnswerFormat, Verdict, files};
use crate::cluster::{MemberStatus, Status};

/// What to ask or to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterAction {
    /// Print the cluster as the node sees it.
    Status,
    /// Print its members.
    Members,
    /// Let the fresh node at this address in.
    Add {
        /// `HOST:PORT` of its listener for other nodes.
        address: String,
    },
    /// Take a member out for ever.
    Remove {
        /// Its id.
        id: NodeId,
    },
    /// Make another voter the leader.
    TransferLeader {
        /// Its id; none for the one that has most of the log.
        to: Option<NodeId>,
    },
    /// Write a snapshot on the node that is asked.
    Snapshot,
    /// Save everything that the cluster agreed on.
    Backup {
        /// Where to.
        file: PathBuf,
        /// Whether secrets are in it, in clear.
        include_secrets: bool,
        /// Whether a file of that name is replaced.
        force: bool,
    },
    /// Restore a backup.
    Restore {
        /// The backup; `-` for the standard input.
        file: PathBuf,
    },
}

/// Carries the action out; the answer goes to `output`, a failure to `errors`.
pub fn run(
    access: Access,
    action: ClusterAction,
    format: AnswerFormat,
    screen: Screen,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Verdict> {
    let printed = access.connect().and_then(|remote| block_on(perform(&remote, action, format, screen)));
    super::remote::print(printed, output, errors)
}

/// What is to be printed.
async fn perform(
    remote: &Remote,
    action: ClusterAction,
    format: AnswerFormat,
    screen: Screen,
) -> Result<String, RemoteError> {
    let call = match &action {
        ClusterAction::Status => Call::get("/v1.0/cluster"),
        ClusterAction::Members => Call::get("/v1.0/cluster/members"),
        ClusterAction::Add { address } => {
            Call::post("/v1.0/cluster/members").json(&json!({ "Address": address }))
        }
        ClusterAction::Remove { id } => Call::delete(&format!("/v1.0/cluster/members/{id}")),
        ClusterAction::TransferLeader { to } => {
            let body = to.map_or_else(|| json!({}), |to| json!({ "NodeId": to }));
            Call::post("/v1.0/cluster/transfer-leader").json(&body)
        }
        ClusterAction::Snapshot => Call::post("/v1.0/cluster/snapshot"),
        ClusterAction::Backup { file, include_secrets, force } => {
            if !force && file.symlink_metadata().is_ok() {
                return Err(files::FileError::Exists { path: file.clone() }.into());
            }
            Call::get(if *include_secrets {
                "/v1.0/cluster/backup?secrets=true"
            } else {
                "/v1.0/cluster/backup"
            })
        }
        ClusterAction::Restore { file } => {
            Call::post("/v1.0/cluster/restore").body(files::read(file)?.into())
        }
    };
    let answer = remote.send(call).await?;
    if let ClusterAction::Backup { file, include_secrets, force } = &action {
        // A file that was cut off on the way must not be found out when it is needed.
        answer.read::<Value>()?;
        files::write_private(file, &answer.body, *force)?;
        let secrets =
            if *include_secrets { "with secrets in clear: keep it safe" } else { "without secrets" };
        let bytes = answer.body.len();
        return Ok(match format {
            AnswerFormat::Text => format!("wrote {} ({bytes} bytes, {secrets})", file.display()),
            AnswerFormat::Json => {
                json!({ "File": file, "Bytes": bytes, "HasSecrets": include_secrets }).to_string()
            }
        });
    }
    match format {
        AnswerFormat::Json if answer.body.is_empty() => {
            Ok(json!({ "Message": in_words(&action, &answer, screen)? }).to_string())
        }
        AnswerFormat::Json => Ok(String::from_utf8_lossy(&answer.body).trim_end().to_owned()),
        AnswerFormat::Text => in_words(&action, &answer, screen),
    }
}

fn in_words(action: &ClusterAction, answer: &Answer, screen: Screen) -> Result<String, RemoteError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Added {
        node_id: NodeId,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Led {
        leader: NodeId,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Written {
        index: u64,
    }
    Ok(match action {
        ClusterAction::Status => render::status(&answer.read::<Status>()?, screen),
        ClusterAction::Members => render::members(&answer.read::<Vec<MemberStatus>>()?, screen),
        ClusterAction::Add { address } => {
            format!("{address} was added as node {}", answer.read::<Added>()?.node_id)
        }
        ClusterAction::Remove { id } => format!("node {id} was removed; its id is never used again"),
        ClusterAction::TransferLeader { .. } => format!("node {} leads", answer.read::<Led>()?.leader),
        ClusterAction::Snapshot => {
            format!("a snapshot was written, up to entry {}", answer.read::<Written>()?.index)
        }
        ClusterAction::Backup { .. } => String::new(),
        ClusterAction::Restore { .. } => "the backup was restored".to_owned(),
    })
}

#[cfg(test)]
mod tests;
