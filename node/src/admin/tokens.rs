//! Admin tokens: listed by name, shown once when they are made, revoked at once on all nodes.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use ollamaflow_protocol::cluster::{Command, Precondition};
use ollamaflow_protocol::id::TokenName;
use ollamaflow_protocol::object::lenient::{self, ObjectError};
use ollamaflow_protocol::object::validate::is_header_value;
use ollamaflow_protocol::object::{JsonPath, Secret};
use ollamaflow_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::FILE_PREFIX;
use super::failure::Failure;
use super::write::Writing;
use super::{AdminState, answer, body, query};
use crate::description::{Api, Entry, Method};
use crate::keys::hash;
use crate::random;

/// Fewest characters of a token that an admin chooses: shorter ones can be guessed from their hash.
const MIN_CHARS: usize = 16;

/// Most bytes of a token: it has to fit into the head of a request.
const MAX_BYTES: usize = 1024;

/// Where a token is kept.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenSource)]
enum Source {
    /// In the settings file of this node.
    File,
    /// In the replicated state of the cluster.
    Cluster,
}

/// A token as the list shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = AdminToken)]
struct Listed<'a> {
    name: &'a str,
    source: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_utc: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_utc: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

/// The body of a create.
#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "PascalCase", default)]
#[schema(as = NewToken)]
struct Wanted {
    name: String,
    token: Option<Secret>,
}

/// The answer to a create: the only time that the token is shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = MadeToken)]
struct Made<'a> {
    #[schema(value_type = TokenName)]
    name: &'a TokenName,
    token: &'a str,
    revision: u64,
}

/// `GET /v1.0/tokens`.
pub(super) async fn list(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    let newest = query::state(&request, &state).await?;
    let of_file = state.authority.file_names().map(|name| Listed {
        name,
        source: Source::File,
        created_utc: None,
        last_update_utc: None,
        revision: None,
    });
    let of_cluster = newest.tokens().values().map(|token| Listed {
        name: token.name.as_str(),
        source: Source::Cluster,
        created_utc: Some(token.created_utc),
        last_update_utc: Some(token.last_update_utc),
        revision: Some(token.revision),
    });
    answer::ok(&of_file.chain(of_cluster).collect::<Vec<_>>())
}

/// `PUT /v1.0/tokens`: a new token, random unless it is given.
pub(super) async fn create(
    request: HttpRequest,
    state: web::Data<AdminState>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    let text = body::read(&request, payload, body::OBJECT_BYTES, state.read_timeout).await?;
    let document = serde_json::from_slice(&text).map_err(|error| ObjectError::syntax(&error))?;
    let Wanted { name, token } = writing.accept(lenient::read::<Wanted>(&document)?)?;
    let name = checked_name(&name)?;
    let token = match token {
        Some(token) => checked_token(token)?,
        None => random_token()?,
    };
    let hash = hash(token.expose().as_bytes());
    let command = Command::PutToken { name: name.clone(), hash, expect: Precondition::Absent };
    let committed = writing.command(command).await?;
    let made = Made { name: &name, token: token.expose(), revision: committed.applied.revision };
    Ok(writing.answer(answer::json(StatusCode::CREATED, &made)?))
}

/// `DELETE /v1.0/tokens/{name}`.
pub(super) async fn delete(
    request: HttpRequest,
    state: web::Data<AdminState>,
    name: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    if state.authority.file_names().any(|known| known == name.as_str()) {
        return Err(Failure::Conflict(format!(
            "the token {name} is in the settings file of this node: take it out of AdminBearerTokens there and restart"
        )));
    }
    let Ok(name) = TokenName::try_from(name.as_str()) else {
        return Err(Failure::Missing { kind: "admin token", id: name.into_inner() });
    };
    writing.command(Command::DeleteToken { name }).await?;
    Ok(writing.answer(HttpResponse::NoContent().finish()))
}

// === rules ===

fn checked_name(name: &str) -> Result<TokenName, Failure> {
    let place = || JsonPath::root().property("Name");
    if name.starts_with(FILE_PREFIX) {
        let why = format!("must not start with {FILE_PREFIX}: so the tokens of the settings file are called");
        return Err(ObjectError::new(place(), why).into());
    }
    TokenName::try_from(name).map_err(|error| ObjectError::new(place(), error.to_string()).into())
}

fn checked_token(token: Secret) -> Result<Secret, Failure> {
    let refused = |why: String| Err(ObjectError::new(JsonPath::root().property("Token"), why).into());
    let text = token.expose();
    if token.is_redaction_mark() {
        return refused("must be the token itself; leave it out for a random one".to_owned());
    }
    if text.chars().count() < MIN_CHARS || text.len() > MAX_BYTES {
        return refused(format!(
            "must have {MIN_CHARS} to {MAX_BYTES} characters; leave it out for a random one"
        ));
    }
    if !text.is_ascii() || text.contains(char::is_whitespace) || !is_header_value(text) {
        return refused("must consist of ASCII letters, digits and signs without spaces".to_owned());
    }
    Ok(token)
}

/// 256 random bits in hexadecimal digits.
pub(super) fn random_token() -> Result<Secret, Failure> {
    random::token().map_err(|e| {
        tracing::error!(error = %e, "the operating system gives no random numbers");
        Failure::NoRandomness
    })
}

/// Describes the operations here.
pub(super) fn describe(api: &mut Api) {
    api.add(
        Entry::admin(Method::Get, "/tokens", "listTokens", "List the admin tokens")
            .tag("Access")
            .says("By their names: tokens are shown once, when they are made.")
            .reads()
            .answers_list::<Listed<'_>>(200, "All of them"),
    );
    api.add(
        Entry::admin(Method::Put, "/tokens", "createToken", "Make an admin token")
            .tag("Access")
            .says("Random, unless it is given. It is good on all nodes at once.")
            .writes()
            .takes_strictly::<Wanted>(serde_json::json!({ "Name": "alice" }))
            .answers::<Made<'_>>(201, "The token, for the only time"),
    );
    api.add(
        Entry::admin(Method::Delete, "/tokens/{name}", "deleteToken", "Revoke an admin token")
            .tag("Access")
            .path("name", "Its name", "alice")
            .writes()
            .fails(&[400, 404])
            .answers_nothing(204, "It is good no more."),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_tokens_are_long_and_fit_into_a_header() {
        assert!(checked_token("0123456789abcdef".into()).is_ok());
        for bad in
            ["0123456789abcde", "0123456789 abcdef", "0123456789abcdeé", "0123456789abcdef\n", "********"]
        {
            assert!(checked_token(bad.into()).is_err(), "{bad}");
        }
        assert!(checked_token("x".repeat(MAX_BYTES + 1).as_str().into()).is_err());
    }

    #[test]
    fn names_are_those_of_ids_and_none_of_the_file() {
        assert!(checked_name("alice").is_ok());
        for bad in ["", "file-1", "file-x", "a b"] {
            assert!(checked_name(bad).is_err(), "{bad}");
        }
    }
}
