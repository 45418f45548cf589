//! Virtual keys: what makes their secrets, which are shown once.
//!
//! All else about keys is as about frontends and backends, and done in `objects`.

use std::cell::RefCell;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::cluster::Precondition;
use ollamaflow_protocol::object::{Key, Secret};
use ollamaflow_protocol::token_hash::TokenHash;
use serde::Serialize;
use utoipa::ToSchema;

use super::failure::Failure;
use super::objects::{self, Object as _};
use super::write::Writing;
use super::{AdminState, answer, body, tokens};
use crate::clock::now;
use crate::cluster::Committed;
use crate::description::{Api, Entry, Method};
use crate::keys::{PREFIX, hash};

/// A key, with its secret: the only time that it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeKey)]
struct Made<'a> {
    #[serde(flatten)]
    #[schema(value_type = Key)]
    key: &'a Key,
    #[serde(rename = "Secret", skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

/// `PUT /v1.0/keys`: a new key. Its secret is made here, unless the hash of one is given.
pub(super) async fn create(
    request: HttpRequest,
    state: web::Data<AdminState>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    let text = body::read(&request, payload, body::OBJECT_BYTES, state.read_timeout).await?;
    let mut key = writing.accept(Key::create(&text, now())?)?;
    let secret = if key.hash.is_none() { Some(secret()?) } else { None };
    if let Some((_, hash)) = &secret {
        key.hash = Some(*hash);
    }
    let id = key.identifier.clone();
    let committed = writing.command(key.clone().put(Precondition::Absent, &text)).await?;
    let secret = secret.map(|(secret, _)| secret);
    let response = made(StatusCode::CREATED, &state, &writing, &committed, key, secret)?;
    Ok(writing.answer(objects::located::<Key>(response, &id)))
}

/// `POST /v1.0/keys/{id}/rotate`: a new secret, which takes the place of the old one at once.
pub(super) async fn rotate(
    request: HttpRequest,
    state: web::Data<AdminState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    let (secret, hash) = secret()?;
    let proposed = RefCell::new(None);
    let committed = writing.change(|newest| {
        let stored = objects::find::<Key>(newest, &id)?;
        writing.conditions.check(&format!("key {id}"), Some(stored.revision))?;
        let key = Key { hash: Some(hash), ..Key::clone(stored) };
        proposed.replace(Some(key.clone()));
        Ok(key.put(Precondition::Revision(stored.revision), b""))
    });
    let committed = committed.await?;
    let key = proposed.into_inner().ok_or_else(|| objects::missing::<Key>(&id))?;
    Ok(writing.answer(made(StatusCode::OK, &state, &writing, &committed, key, Some(secret))?))
}

/// The answer to the write. A secret that is good for nothing is not shown.
fn made(
    status: StatusCode,
    state: &AdminState,
    writing: &Writing<'_>,
    committed: &Committed,
    proposed: Key,
    secret: Option<Secret>,
) -> Result<HttpResponse, Failure> {
    let (key, revision) = objects::as_written(committed, proposed);
    if !writing.is_rehearsal() {
        // Whoever has the answer may use the key at this node.
        state.keys.publish(&committed.state);
    }
    let secret = secret.filter(|_| !writing.is_rehearsal());
    let made = Made { key: &key, secret: secret.as_ref().map(Secret::expose) };
    Ok(answer::tagged(answer::json(status, &made)?, revision))
}

/// A secret of 256 random bits, and what is kept of it.
fn secret() -> Result<(Secret, TokenHash), Failure> {
    let secret = Secret::new(format!("{PREFIX}{}", tokens::random_token()?.expose()));
    let hash = hash(secret.expose().as_bytes());
    Ok((secret, hash))
}

/// Describes the operations on keys.
pub(super) fn describe(api: &mut Api) {
    let example =
        serde_json::json!({ "Identifier": "key1", "Name": "The editor on my desk", "Models": ["llama3*"] });
    objects::describe::<Key, Key, Made<'_>>(api, "Access", &example);
    api.add(
        Entry::admin(Method::Post, "/keys/{id}/rotate", "rotateKey", "Give a key a new secret")
            .tag("Access")
            .says("It takes the place of the old one at once.")
            .path("id", "Its identifier", "key1")
            .writes()
            .fails(&[404])
            .answers::<Made<'_>>(200, "The key, with its secret for the only time"),
    );
}
