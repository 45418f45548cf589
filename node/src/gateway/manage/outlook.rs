//! What an explanation tells of a request that changes models: who would be asked, and why others would not.

use std::collections::HashMap;

use actix_web::HttpRequest;
use ollamaflow_protocol::inspect::{RequestFacts, Residence};
use ollamaflow_protocol::route::Operation;

use super::targets::{Narrowing, Purpose, Standing};
use super::{EACH, ManageError, ONE, is_change};
use crate::actors::{BackendView, FrontendHandle, Query};
use crate::gateway::GatewaySettings;

/// What would become of a change.
#[derive(Debug)]
pub(crate) struct Outlook {
    /// What decides who is asked.
    pub(crate) by: &'static str,
    /// Why nobody would be; none if somebody would.
    pub(crate) refusal: Option<String>,
    /// Each backend by its identifier: none if it would be asked, else why not.
    pub(crate) reasons: HashMap<String, Option<String>>,
}

/// What would become of the request; `None` if it goes the way of others.
pub(crate) fn outlook(
    request: &HttpRequest,
    settings: &GatewaySettings,
    frontend: &FrontendHandle,
    query: &Query,
    facts: &RequestFacts,
) -> Option<Outlook> {
    let view = frontend.view();
    let operation = query.operation;
    let may = view.config.allow_model_management.unwrap_or(settings.is_local);
    let residence = facts.residence.filter(|_| query.model.is_some());
    if !is_change(operation) && (residence.is_none() || !may && residence == Some(Residence::Load)) {
        return None;
    }
    let purpose = match residence {
        Some(Residence::Unload) => Purpose::Remove,
        _ => Purpose::of(operation),
    };
    let narrowing = Narrowing::of(request);
    let lacks = |view: &BackendView| match residence {
        Some(Residence::Load) => frontend.has_model(view, query) != Some(true),
        Some(Residence::Unload) | None => false,
    };
    let refusal = if may {
        narrowing.must_be_known(frontend).err()
    } else {
        Some(ManageError::NotAllowed { frontend: frontend.id().clone() })
    };
    let reasons: HashMap<String, Option<String>> = view
        .backends()
        .map(|(backend, view)| {
            let why = match narrowing.standing(backend, &view, purpose) {
                Standing::Apart(why) => Some(why.to_owned()),
                Standing::Skipped(why) => Some(format!("passed over: {why}")),
                Standing::Asked { .. } if lacks(&view) => Some("without the model".to_owned()),
                Standing::Asked { .. } => refusal.as_ref().map(ToString::to_string),
            };
            (backend.id().to_string(), why)
        })
        .collect();
    let asked = reasons.values().filter(|why| why.is_none()).count();
    let fewest = if residence == Some(Residence::Load) && !narrowing.has_filter() { 2 } else { 1 };
    if residence.is_some() && refusal.is_none() && asked < fewest {
        return None;
    }
    let refusal = refusal.map(|refusal| refusal.to_string());
    let by = if operation == Operation::OllamaPush { ONE } else { EACH };
    Some(Outlook { by: by.by, refusal, reasons })
}
