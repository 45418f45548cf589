//! What a request asks of a backend, put together from its head, its body and its client.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::inspect::RequestFacts;
use ollamaflow_protocol::model::canonical;
use ollamaflow_protocol::route::Operation;

use crate::actors::{ClientKey, FrontendHandle, Moment, Query, Wish};

const LABEL: HeaderName = HeaderName::from_static(names::LABEL);

/// The query of a request to `frontend`. `wish` is what it asks for if it does not simply name its model, `client` is
/// who sent it, if the frontend keeps clients on their backends.
pub(crate) fn query(
    request: &HttpRequest,
    frontend: &FrontendHandle,
    operation: Operation,
    facts: &RequestFacts,
    wish: Option<Arc<Wish>>,
    client: Option<&ClientKey>,
) -> Query {
    Query {
        labels: labels(request).map(Into::into).collect(),
        model: facts.model.as_deref().map(canonical),
        wish,
        runner: facts.runner,
        prefix: facts.prefix,
        client: client.map(ClientKey::hash),
        session: client.and_then(|client| frontend.sessions().peek(client, Moment::now())),
        ..Query::new(operation)
    }
}

/// The labels that the request demands.
pub(super) fn labels(request: &HttpRequest) -> impl Iterator<Item = &[u8]> {
    request.headers().get_all(LABEL).flat_map(|value| names::labels(value.as_bytes()))
}
