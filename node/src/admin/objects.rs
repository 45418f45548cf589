//! Frontends, backends and virtual keys: reading and writing one, listing all.

mod kind;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::cluster::{ClusterState, Outcome, Precondition};
use serde_json::Value;
use utoipa::ToSchema;

pub(super) use self::kind::Object;
use super::conditions::Conditions;
use super::failure::Failure;
use super::write::Writing;
use super::{AdminState, answer, body, query};
use crate::clock::now;
use crate::cluster::Committed;
use crate::description::{Api, Entry, Method};

/// All objects of a kind, newest first.
pub(super) async fn list<T: Object>(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    let newest = query::state(&request, &state).await?;
    let mut objects: Vec<&T> = T::all(newest.catalog()).values().map(AsRef::as_ref).collect();
    objects.sort_by_key(|object| Reverse(object.created()));
    let shown: Vec<_> = objects.into_iter().map(|object| object.shown(&state.directory)).collect();
    answer::ok(&shown)
}

/// One object.
pub(super) async fn get<T: Object>(
    request: HttpRequest,
    state: web::Data<AdminState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let newest = query::state(&request, &state).await?;
    let object = find::<T>(&newest, &id)?;
    if Conditions::of(&request).has(object.revision()) {
        return Ok(answer::tagged(answer::not_modified(), object.revision()));
    }
    Ok(answer::tagged(answer::ok(&object.shown(&state.directory))?, object.revision()))
}

/// Whether there is such an object: `true` or `false`, of which a `HEAD` shows the length.
pub(super) async fn exists<T: Object>(
    request: HttpRequest,
    state: web::Data<AdminState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let newest = query::state(&request, &state).await?;
    match find::<T>(&newest, &id) {
        Ok(object) => Ok(answer::tagged(answer::json(StatusCode::OK, &true)?, object.revision())),
        Err(_) => answer::json(StatusCode::NOT_FOUND, &false),
    }
}

/// A new object.
pub(super) async fn create<T: Object>(
    request: HttpRequest,
    state: web::Data<AdminState>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    let text = body::read(&request, payload, body::OBJECT_BYTES, state.read_timeout).await?;
    let object = writing.accept(T::create(&text, now())?)?;
    object.check().map_err(Failure::Invalid)?;
    let committed = writing.command(object.clone().put(Precondition::Absent, &text)).await?;
    let id = object.id().clone();
    let response = written(StatusCode::CREATED, &state, &committed, object)?;
    Ok(writing.answer(located::<T>(response, &id)))
}

/// Changes an object: what the body does not name stays as it is.
pub(super) async fn update<T: Object>(
    request: HttpRequest,
    state: web::Data<AdminState>,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    // Said before the body is read; it may be on its way from the leader.
    if find::<T>(&state.cluster.state(), &id).is_err() {
        find::<T>(&state.cluster.linearizable().await?, &id)?;
    }
    let text = body::read(&request, payload, body::OBJECT_BYTES, state.read_timeout).await?;
    let proposed = RefCell::new(None);
    let committed = writing.change(|newest| {
        let stored = find::<T>(newest, &id)?;
        writing.conditions.check(&name::<T>(&id), Some(stored.revision()))?;
        let object = writing.accept(stored.patched(&text)?)?;
        object.check().map_err(Failure::Invalid)?;
        proposed.replace(Some(object.clone()));
        Ok(object.put(Precondition::Revision(stored.revision()), &text))
    });
    let committed = committed.await?;
    let proposed = proposed.into_inner().ok_or_else(|| missing::<T>(&id))?;
    let response = written(StatusCode::OK, &state, &committed, proposed)?;
    Ok(writing.answer(response))
}

/// Deletes an object. A backend that frontends list stays, unless `force` unlinks it.
pub(super) async fn delete<T: Object>(
    request: HttpRequest,
    state: web::Data<AdminState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    let force = query::flag(&request, "force")?;
    let known = parse::<T>(&id)?;
    if writing.conditions.is_empty() {
        writing.command(T::delete(known, Precondition::Any, force)).await?;
    } else {
        let deleting = writing.change(|newest| {
            let revision = find::<T>(newest, &id)?.revision();
            writing.conditions.check(&name::<T>(&id), Some(revision))?;
            Ok(T::delete(known.clone(), Precondition::Revision(revision), force))
        });
        deleting.await?;
    }
    Ok(writing.answer(HttpResponse::NoContent().finish()))
}

/// Describes the operations on a kind of object; `Shown` is what answers show, `Made` what that to a create does, whose
/// body is `example`.
pub(super) fn describe<T, Shown, Made>(api: &mut Api, tag: &str, example: &Value)
where
    T: Object + ToSchema,
    Shown: ToSchema,
    Made: ToSchema,
{
    let (kind, title) = (T::KIND, capitalised(T::KIND));
    let plural = format!("{title}s");
    let (all, one) = (format!("/{kind}s"), format!("/{kind}s/{{id}}"));
    let entry =
        |method, path: &str, id: String, summary: String| Entry::admin(method, path, &id, &summary).tag(tag);
    let id = format!("{kind}1");
    let at_one = |method, verb: &str, summary: &str| {
        let entry = entry(method, &one, format!("{verb}{title}"), format!("{summary} a {kind}"));
        entry.path("id", "Its identifier", &id).fails(&[404])
    };
    let listed = entry(Method::Get, &all, format!("list{plural}"), format!("List the {kind}s"));
    api.add(listed.says("Newest first.").reads().answers_list::<Shown>(200, "All of them"));
    let created = entry(Method::Put, &all, format!("create{title}"), format!("Create a {kind}"));
    api.add(
        created
            .says("Properties that are left out have their defaults. With `If-None-Match: *` a name that is taken is a 412.")
            .writes()
            .takes_strictly::<T>(example.clone())
            .answers::<Made>(201, "As it is now"),
    );
    let read = at_one(Method::Get, "get", "Show").reads_tagged();
    api.add(read.answers::<Shown>(200, "It"));
    let seen = at_one(Method::Head, "has", "Whether there is");
    api.add(seen.reads().answers_nothing(200, "There is."));
    api.add(
        at_one(Method::Put, "update", "Change")
            .says("Properties that are left out stay as they are; null makes one its default.")
            .writes()
            .takes_strictly::<T>(serde_json::json!({ "Name": "Another name" }))
            .answers::<Shown>(200, "As it is now"),
    );
    let deleted = at_one(Method::Delete, "delete", "Delete").writes();
    api.add(
        deleted
            .query::<bool>("force", "Of a backend: frontends that use it lose it first")
            .answers_nothing(204, "It is gone."),
    );
}

// === helpers ===

fn capitalised(kind: &str) -> String {
    let mut letters = kind.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

fn parse<T: Object>(text: &str) -> Result<T::Id, Failure> {
    T::Id::try_from(text).map_err(|_| missing::<T>(text))
}

pub(super) fn find<'a, T: Object>(state: &'a ClusterState, text: &str) -> Result<&'a Arc<T>, Failure> {
    let found = T::all(state.catalog()).get(&parse::<T>(text)?);
    found.ok_or_else(|| missing::<T>(text))
}

pub(super) fn missing<T: Object>(id: &str) -> Failure {
    Failure::Missing { kind: T::KIND, id: id.to_owned() }
}

fn name<T: Object>(id: &str) -> String {
    format!("{} {id}", T::KIND)
}

/// The answer to a create, which tells where the new object is.
pub(super) fn located<T: Object>(mut response: HttpResponse, id: &T::Id) -> HttpResponse {
    let location = format!("/v1.0/{}s/{}", T::KIND, id.as_ref());
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The answer with the object as the write left it.
fn written<T: Object>(
    status: StatusCode,
    admin: &AdminState,
    committed: &Committed,
    proposed: T,
) -> Result<HttpResponse, Failure> {
    let (object, revision) = as_written(committed, proposed);
    Ok(answer::tagged(answer::json(status, &object.shown(&admin.directory))?, revision))
}

/// The object as the write left it, and its revision. This node may know a later one by now, whose revision must not be
/// taken for the write's own: the next change of this client would undo that one.
pub(super) fn as_written<T: Object>(committed: &Committed, proposed: T) -> (T, u64) {
    let Committed { applied, state } = committed;
    let stored = T::all(state.catalog()).get(proposed.id());
    let is_stored =
        |stored: &&Arc<T>| applied.outcome == Outcome::Unchanged || stored.revision() == applied.revision;
    if let Some(stored) = stored.filter(is_stored) {
        return (T::clone(stored), stored.revision());
    }
    let change = state.history().find(|change| change.revision == applied.revision);
    let object = proposed.at(applied.revision, change.map_or_else(now, |change| change.at_utc));
    (object, applied.revision)
}
