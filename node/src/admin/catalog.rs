//! The whole catalog at once: to be kept in a repository, and put back from there.

mod document;

use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::cluster::{ClusterState, Command, Precondition};
use ollamaflow_protocol::object::{Backend, Frontend, Key};
use serde::Serialize;

pub(super) use self::document::Objects;
use utoipa::ToSchema;

use super::conditions::Conditions;
use super::failure::Failure;
use super::write::Writing;
use super::{AdminState, answer, body, query};
use crate::actors::check_tls;
use crate::description::{Api, Entry, Method};

/// The catalog as answers show it, secrets redacted. The objects are in the order of their names, so that two
/// catalogs can be compared line by line.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Catalog)]
pub(super) struct Shown<'a> {
    /// The revision at which an object was last changed.
    revision: u64,
    #[schema(value_type = Vec<Frontend>)]
    frontends: Vec<&'a Frontend>,
    #[schema(value_type = Vec<Backend>)]
    backends: Vec<&'a Backend>,
    #[schema(value_type = Vec<Key>)]
    keys: Vec<&'a Key>,
}

/// `GET /v1.0/catalog`.
pub(super) async fn get(request: HttpRequest, state: web::Data<AdminState>) -> Result<HttpResponse, Failure> {
    let newest = query::state(&request, &state).await?;
    if Conditions::of(&request).has(newest.catalog_revision()) {
        return Ok(answer::tagged(answer::not_modified(), newest.catalog_revision()));
    }
    shown(&newest)
}

/// `PUT /v1.0/catalog`: these objects and no others, all at once or not at all.
pub(super) async fn replace(
    request: HttpRequest,
    state: web::Data<AdminState>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    let text = body::read(&request, payload, body::CATALOG_BYTES, state.read_timeout).await?;
    let objects = Objects::read(&text)?;
    writing.accept_unknown(&objects.unknown)?;
    for backend in &objects.backends {
        let unusable = |error| Failure::Invalid(format!("backend {}: {error}", backend.identifier));
        check_tls(backend).map_err(unusable)?;
    }
    replace_by(&writing, &objects).await
}

/// Makes these objects the only ones; answers with the catalog.
pub(super) async fn replace_by(writing: &Writing<'_>, objects: &Objects) -> Result<HttpResponse, Failure> {
    let committed = writing.change(|newest| {
        let Objects { frontends, backends, keys, .. } = objects.clone();
        let expect = expect(&writing.conditions, newest)?;
        Ok(Command::ReplaceCatalog { frontends, backends, keys, expect })
    });
    let committed = committed.await?;
    Ok(writing.answer(shown(&committed.state)?))
}

/// What must still be true of the catalog when the command is applied, if the conditions hold now.
pub(super) fn expect(conditions: &Conditions, state: &ClusterState) -> Result<Precondition, Failure> {
    let catalog = state.catalog();
    let is_empty = catalog.frontends.is_empty() && catalog.backends.is_empty() && catalog.keys.is_empty();
    conditions.check_catalog(state.catalog_revision(), state.revision(), is_empty)?;
    Ok(if conditions.is_empty() {
        Precondition::Any
    } else {
        Precondition::Revision(state.catalog_revision())
    })
}

fn shown(state: &ClusterState) -> Result<HttpResponse, Failure> {
    let catalog = state.catalog();
    let shown = Shown {
        revision: state.catalog_revision(),
        frontends: catalog.frontends.values().map(AsRef::as_ref).collect(),
        backends: catalog.backends.values().map(AsRef::as_ref).collect(),
        keys: catalog.keys.values().map(AsRef::as_ref).collect(),
    };
    Ok(answer::tagged(answer::ok(&shown)?, state.catalog_revision()))
}

/// Describes the operations here.
pub(super) fn describe(api: &mut Api) {
    let entry = |method, id, summary| Entry::admin(method, "/catalog", id, summary).tag("Catalog");
    api.add(
        entry(Method::Get, "getCatalog", "Show all frontends and backends")
            .says("In the order of their names. Secrets are shown as `********`.")
            .reads_tagged()
            .answers::<Shown<'_>>(200, "All of them"),
    );
    api.add(
        entry(Method::Put, "replaceCatalog", "Replace all frontends and backends")
            .says("All at once or not at all. A secret that is sent as `********` stays as it is stored.")
            .writes()
            .takes_strictly::<Shown<'_>>(serde_json::json!({
                "Frontends": [{ "Identifier": "frontend1", "Backends": ["backend1"] }],
                "Backends": [{ "Identifier": "backend1", "Hostname": "localhost", "Port": 11434 }]
            }))
            .answers::<Shown<'_>>(200, "As it is now"),
    );
}
