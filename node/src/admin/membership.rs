//! The cluster itself: its state as this node sees it, its members, its leader.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::object::lenient::{self, ObjectError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::write::Writing;
use super::{AdminState, answer, body};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Invitation {
    /// Host and port under which the other nodes reach the new one.
    address: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Admitted {
    node_id: NodeId,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Transfer {
    /// Who is to lead; none for the voter that has most of the log.
    node_id: Option<NodeId>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Transferred {
    leader: NodeId,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    /// The last entry of the log that the snapshot has.
    index: u64,
}

/// `GET /v1.0/cluster`.
pub(super) async fn status(state: web::Data<AdminState>) -> Result<HttpResponse, Failure> {
    answer::ok(&state.cluster.status())
}

/// `GET /v1.0/cluster/members`.
pub(super) async fn members(state: web::Data<AdminState>) -> Result<HttpResponse, Failure> {
    answer::ok(&state.cluster.status().members)
}

/// `POST /v1.0/cluster/members`: invites a node; answers when it votes.
pub(super) async fn add(
    request: HttpRequest,
    state: web::Data<AdminState>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    writing.must_be_for_real()?;
    let text = body::read(&request, payload, body::OBJECT_BYTES, state.read_timeout).await?;
    let Invitation { address } = parse(&writing, &text)?;
    if address.trim().is_empty() {
        return Err(Failure::Invalid(
            "Address must be the host and port of the new node's cluster listener".to_owned(),
        ));
    }
    let node_id = state.cluster.add(address.trim()).await?;
    answer::json(StatusCode::CREATED, &Admitted { node_id })
}

/// `DELETE /v1.0/cluster/members/{id}`.
pub(super) async fn remove(
    request: HttpRequest,
    state: web::Data<AdminState>,
    id: web::Path<String>,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    writing.must_be_for_real()?;
    let Ok(id) = id.parse() else {
        return Err(Failure::Missing { kind: "node", id: id.into_inner() });
    };
    state.cluster.remove(id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1.0/cluster/transfer-leader`; the body may be left out.
pub(super) async fn transfer_leader(
    request: HttpRequest,
    state: web::Data<AdminState>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let writing = Writing::of(&request, &state)?;
    writing.must_be_for_real()?;
    let to = match body::read(&request, payload, body::OBJECT_BYTES, state.read_timeout).await {
        Ok(text) => parse::<Transfer>(&writing, &text)?.node_id,
        Err(Failure::NoBody) => None,
        Err(failure) => return Err(failure),
    };
    let leader = state.cluster.transfer_leader(to).await?;
    answer::ok(&Transferred { leader })
}

/// `POST /v1.0/cluster/snapshot`.
pub(super) async fn snapshot(
    request: HttpRequest,
    state: web::Data<AdminState>,
) -> Result<HttpResponse, Failure> {
    Writing::of(&request, &state)?.must_be_for_real()?;
    let index = state.cluster.snapshot().await?;
    answer::ok(&Written { index })
}

fn parse<T: DeserializeOwned>(writing: &Writing<'_>, text: &Bytes) -> Result<T, Failure> {
    let document = serde_json::from_slice(text).map_err(|error| ObjectError::syntax(&error))?;
    writing.accept(lenient::read::<T>(&document)?)
}
