//! The cluster itself: its state as this node sees it, its members, its leader.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::object::lenient::{self, ObjectError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::failure::Failure;
use super::write::Writing;
use super::{AdminState, answer, body};
use crate::cluster::{MemberStatus, Status};
use crate::description::{Api, Entry, Method};

#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "PascalCase", default)]
struct Invitation {
    /// Host and port under which the other nodes reach the new one.
    address: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Admitted {
    node_id: NodeId,
}

#[derive(Deserialize, Default, ToSchema)]
#[serde(rename_all = "PascalCase", default)]
#[schema(as = LeaderTransfer)]
struct Transfer {
    /// Who is to lead; none for the voter that has most of the log.
    node_id: Option<NodeId>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Transferred {
    leader: NodeId,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = Snapshot)]
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

/// Describes the operations here.
pub(super) fn describe(api: &mut Api) {
    let entry = |method, path, id, summary| Entry::admin(method, path, id, summary).tag("Cluster");
    // What is refused and why, of changes of the membership.
    let changes = |entry: Entry| {
        entry.query::<bool>("validate", "Not possible here: true is refused").fails(&[400, 404, 409, 503])
    };
    api.add(
        entry(Method::Get, "/cluster", "getCluster", "Show the cluster")
            .says("As this node sees it.")
            .answers::<Status>(200, "Its state"),
    );
    api.add(
        entry(Method::Get, "/cluster/members", "listMembers", "List the members")
            .answers_list::<MemberStatus>(200, "All of them"),
    );
    api.add(
        changes(entry(Method::Post, "/cluster/members", "addMember", "Add a node"))
            .says("The node was started with `--join invite`. The answer comes when it votes.")
            .takes_strictly::<Invitation>(serde_json::json!({ "Address": "node4.example:43412" }))
            .answers::<Admitted>(201, "It is a member"),
    );
    api.add(
        changes(entry(Method::Delete, "/cluster/members/{id}", "removeMember", "Remove a node"))
            .path("id", "Its number", "4")
            .answers_nothing(204, "It is no member any more."),
    );
    api.add(
        changes(entry(Method::Post, "/cluster/transfer-leader", "transferLeader", "Let another node lead"))
            .says("Without a body, or without `NodeId`, the voter that has most of the log.")
            .may_take::<Transfer>(serde_json::json!({ "NodeId": 2 }))
            .lenient()
            .answers::<Transferred>(200, "Who leads now"),
    );
    api.add(
        changes(entry(
            Method::Post,
            "/cluster/snapshot",
            "takeSnapshot",
            "Write a snapshot of the state now",
        ))
        .answers::<Written>(200, "It is written"),
    );
}
