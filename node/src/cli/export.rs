//! `ollamaflow export`: all frontends, backends and virtual keys, as a file that `apply` takes.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::client::{Page, Pen};
use super::remote::{Call, Remote, RemoteError};
use super::screen::counted;
use super::{Verdict, files};

/// What to export, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The file; none for the standard output.
    pub file: Option<PathBuf>,
    /// Whether secrets are in it, in clear; otherwise they are marks that keep those of the cluster.
    pub include_secrets: bool,
    /// Whether a file of that name is replaced.
    pub force: bool,
}

/// Writes the file.
pub(super) async fn run(remote: &Remote, asked: &Export, pen: &mut Pen<'_>) -> Result<Verdict, RemoteError> {
    if let Some(file) = asked.file.as_ref().filter(|file| !asked.force && file.symlink_metadata().is_ok()) {
        return Err(files::FileError::Exists { path: file.clone() }.into());
    }
    let path = if asked.include_secrets { "/v1.0/cluster/backup?secrets=true" } else { "/v1.0/catalog" };
    let answer = remote.send(Call::get(path)).await?;
    let objects = objects(&answer.read()?).ok_or_else(|| answer.unusable("it has no objects"))?;
    let text = format!("{objects:#}\n");
    let Some(file) = &asked.file else {
        pen.output.write_all(text.as_bytes())?;
        return Ok(Verdict::Good);
    };
    files::write_private(file, text.as_bytes(), asked.force)?;
    let count = |list: &str| objects[list].as_array().map_or(0, Vec::len);
    let (frontends, backends, keys) = (count("Frontends"), count("Backends"), count("Keys"));
    let secrets = if asked.include_secrets { ", with secrets in clear: keep it safe" } else { "" };
    let objects = format!(
        "{}, {}, {}",
        counted(frontends, "frontend"),
        counted(backends, "backend"),
        counted(keys, "key")
    );
    let text = format!("wrote {} ({objects}{secrets})", file.display());
    let json = json!({ "File": file, "Frontends": frontends, "Backends": backends, "Keys": keys, "Secrets": asked.include_secrets });
    pen.page(&Page::done(text, json))?;
    Ok(Verdict::Good)
}

/// The lists, without what belongs to this cluster alone.
fn objects(document: &Value) -> Option<Value> {
    let list = |name: &str| -> Option<Value> {
        let items = document.get(name)?.as_array()?;
        Some(
            items
                .iter()
                .map(|item| item.as_object().map(portable).map_or(Value::Null, Value::Object))
                .collect(),
        )
    };
    let mut objects = json!({ "Frontends": list("Frontends")?, "Backends": list("Backends")? });
    if let Some(keys) = list("Keys") {
        objects["Keys"] = keys;
    }
    Some(objects)
}

fn portable(object: &Map<String, Value>) -> Map<String, Value> {
    let mut object = object.clone();
    object.shift_remove("Revision");
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_has_the_objects_and_nothing_of_the_cluster() {
        let catalog = json!({
            "Format": 1, "Revision": 9, "ClusterId": "c",
            "Frontends": [{ "Identifier": "f", "Revision": 3 }], "Backends": [{ "Identifier": "b", "Port": 1 }]
        });
        let expected =
            json!({ "Frontends": [{ "Identifier": "f" }], "Backends": [{ "Identifier": "b", "Port": 1 }] });
        assert_eq!(objects(&catalog), Some(expected));
        assert_eq!(objects(&json!({ "Frontends": [] })), None);
    }
}
