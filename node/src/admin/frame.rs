//! What every answer of the admin API and of the probes has, refusals included; and the answer to preflights.

use std::rc::Rc;
use std::time::Instant;

use actix_web::HttpMessage as _;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web;
use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::header as names;

use super::{AdminState, PREFIX};
use crate::cluster::Cluster;
use crate::gateway::{self, Account, Accounted, RequestId};
use crate::listener::{Connection, Keeping};

const NODE: HeaderName = HeaderName::from_static(names::NODE);
const REVISION: HeaderName = HeaderName::from_static(names::REVISION);
const LEADER: HeaderName = HeaderName::from_static(names::LEADER);

/// Goes around everything else.
pub(super) async fn frame(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let id = RequestId::random();
    let account = account(&request, &id);
    let answer = Connection::answer(request.request());
    let payload = request.take_payload();
    let (payload, unread) = gateway::watch_unread(request.request(), payload);
    request.set_payload(payload);
    let mut response = if request.method() == Method::OPTIONS {
        let response = gateway::preflight(request.request());
        request.into_response(response).map_into_right_body()
    } else {
        next.call(request).await?.map_into_left_body()
    };
    let state = response.request().app_data::<web::Data<AdminState>>().cloned();
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(state) = &state {
        add_place(headers, &state.cluster);
    }
    let defaults = state.as_ref().map_or(&[][..], |state| &state.default_headers);
    gateway::finish(headers, &id, defaults);
    if let Some(account) = &account {
        account.answered(response.status());
    }
    Ok(response.map_body(|_, body| Keeping::new(Accounted::new(Box::pin(body), account), (answer, unread))))
}

/// The account of a call of the API. Probes come every few seconds, and tell nobody anything.
fn account(request: &ServiceRequest, id: &RequestId) -> Option<Rc<Account>> {
    let state = request.app_data::<web::Data<AdminState>>()?;
    if !request.path().starts_with(PREFIX) {
        return None;
    }
    let log = Rc::new(state.logs.access().clone());
    let account = Account::begin(&log, None, id, request.request(), Instant::now())?;
    account.administers(request.request());
    Some(account)
}

/// Who answers, from which state, and who leads.
fn add_place(headers: &mut HeaderMap, cluster: &Cluster) {
    let id = |id: Option<NodeId>| id.map_or(HeaderValue::from_static("none"), HeaderValue::from);
    headers.insert(NODE, id(cluster.node_id()));
    headers.insert(REVISION, HeaderValue::from(cluster.state().revision()));
    headers.insert(LEADER, id(cluster.leader()));
}
