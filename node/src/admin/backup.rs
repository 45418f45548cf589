//! Backups of the catalog: with secrets only if that is asked for. Tokens and nodes are not in them: they belong to
//! one cluster, a backup may go to another.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::cluster::ClusterState;
use ollamaflow_protocol::id::ClusterId;
use ollamaflow_protocol::object::record::Record;
use ollamaflow_protocol::object::{Backend, Exposed, Frontend, JsonPath, Key, ObjectError};
use ollamaflow_protocol::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::Caller;
use super::catalog::{self, Objects};
use super::failure::Failure;
use super::write::Writing;
use super::{AdminState, answer, body, query};
use crate::clock::now;
use crate::description::{Api, Entry, Method};

/// The format that is written, and the newest that is read.
const FORMAT: u64 = 1;

/// A backup; the objects either redacted or in their stored form.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Backup, bound = "")]
struct Backup<'a, F: Serialize, B: Serialize> {
    format: u64,
    #[schema(value_type = Option<ClusterId>)]
    cluster_id: Option<&'a ClusterId>,
    revision: u64,
    created_utc: Timestamp,
    has_secrets: bool,
    #[schema(value_type = Vec<Frontend>)]
    frontends: Vec<F>,
    #[schema(value_type = Vec<Backend>)]
    backends: Vec<B>,
    /// With the hashes of their secrets, which are in no backup.
    #[schema(value_type = Vec<Key>)]
    keys: Vec<&'a Key>,
}

/// `GET /v1.0/cluster/backup`.
pub(super) async fn take(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    let has_secrets = query::flag(&request, "secrets")?;
    let newest = query::state(&request, &state).await?;
    let mut response = if has_secrets {
        let Caller(by) = Caller::of(&request)?;
        tracing::info!(by, "a backup with secrets was taken");
        answer::ok(&backup(&newest, true, exposed::<Frontend>, exposed::<Backend>))?
    } else {
        answer::ok(&backup(&newest, false, |frontend| frontend, |backend| backend))?
    };
    let name = format!("attachment; filename=\"ollamaflow-{}.json\"", newest.catalog_revision());
    if let Ok(name) = name.parse() {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(answer::tagged(response, newest.catalog_revision()))
}

/// `POST /v1.0/cluster/restore`: the frontends, backends and virtual keys of a backup and no others. Secrets that are not in it
/// are those of the stored objects; where there are none, nothing is restored and the answer names the place.
pub(super) async fn restore(
    request: HttpRequest,
    state: web::Data<AdminState>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    let text = body::read(&request, payload, body::CATALOG_BYTES, state.read_timeout).await?;
    let document: Value = serde_json::from_slice(&text).map_err(|error| ObjectError::syntax(&error))?;
    check_format(&document)?;
    let objects = Objects::of(&document)?;
    writing.accept_unknown(&objects.unknown)?;
    catalog::replace_by(&writing, &objects).await
}

fn backup<'a, F: Serialize, B: Serialize>(
    state: &'a ClusterState,
    has_secrets: bool,
    frontend: impl Fn(&'a Frontend) -> F,
    backend: impl Fn(&'a Backend) -> B,
) -> Backup<'a, F, B> {
    let catalog = state.catalog();
    Backup {
        format: FORMAT,
        cluster_id: state.cluster_id(),
        revision: state.catalog_revision(),
        created_utc: now(),
        has_secrets,
        frontends: catalog.frontends.values().map(|object| frontend(object)).collect(),
        backends: catalog.backends.values().map(|object| backend(object)).collect(),
        keys: catalog.keys.values().map(AsRef::as_ref).collect(),
    }
}

fn exposed<T: Record>(object: &T) -> Exposed<&T> {
    Exposed(object)
}

fn check_format(document: &Value) -> Result<(), Failure> {
    let place = JsonPath::root().property("Format");
    match document.get("Format").map(Value::as_u64) {
        Some(Some(1..=FORMAT)) => Ok(()),
        Some(Some(newer)) if newer > FORMAT => {
            let why =
                format!("is {newer}, but this version reads backups up to format {FORMAT}: update this node");
            Err(ObjectError::new(place, why).into())
        }
        _ => {
            let why =
                format!("must be {FORMAT}, as in a backup; a catalog without it goes to PUT /v1.0/catalog");
            Err(ObjectError::new(place, why).into())
        }
    }
}

/// Describes the operations here.
pub(super) fn describe(api: &mut Api) {
    type Shown<'a> = Backup<'a, &'a Frontend, &'a Backend>;
    api.add(
        Entry::admin(Method::Get, "/cluster/backup", "takeBackup", "Take a backup")
            .tag("Cluster")
            .says("All frontends and backends, as a file. Tokens and nodes are not in it.")
            .reads()
            .query::<bool>("secrets", "With secrets in clear text")
            .answers::<Shown<'_>>(200, "The backup"),
    );
    api.add(
        Entry::admin(Method::Post, "/cluster/restore", "restoreBackup", "Restore a backup")
            .tag("Cluster")
            .says("Its frontends and backends and no others. Secrets that are not in it stay as they are stored.")
            .writes()
            .takes_strictly::<Shown<'_>>(serde_json::json!({ "Format": FORMAT, "Frontends": [], "Backends": [] }))
            .answers::<catalog::Shown<'_>>(200, "The catalog now"),
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_known_formats_are_read() {
        assert!(check_format(&json!({ "Format": 1 })).is_ok());
        for (format, part) in
            [(json!(2), "update this node"), (json!(0), "must be 1"), (json!("1"), "must be 1")]
        {
            let refused = check_format(&json!({ "Format": format })).unwrap_err().to_string();
            assert!(refused.starts_with("Format ") && refused.contains(part), "{refused}");
        }
        assert!(check_format(&json!({})).is_err());
        assert!(check_format(&json!([])).is_err());
    }
}
