//! `GET /api/version` of a frontend.

use std::sync::Arc;

use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::translate;
use serde_json::json;

use crate::actors::{FrontendView, Query};

/// The answer: the lowest version of the Ollamas that count. Clients conclude from it what they may ask for, and their
/// requests may go to any of them. Before other engines only, it is that of the API which this node speaks for them.
/// `None`: no backend counts, or none has told a version; then one of them is asked.
pub(super) fn body(frontend: &FrontendView, query: &Query) -> Option<Vec<u8>> {
    let mut is_nobody_there = true;
    let mut has_ollama = false;
    let mut lowest: Option<(_, Arc<str>)> = None;
    for (_, view) in frontend.suiting(query) {
        is_nobody_there = false;
        has_ollama |= view.config.api_format != ApiFormat::OpenAI;
        let told = view.version.zip(view.version_text().cloned());
        lowest = match (lowest, told) {
            (Some(lowest), Some(told)) => Some(if told < lowest { told } else { lowest }),
            (lowest, told) => lowest.or(told),
        };
    }
    match lowest {
        Some((_, version)) => Some(json!({ "version": &*version }).to_string().into_bytes()),
        None if is_nobody_there || has_ollama => None,
        None => Some(translate::version_answer()),
    }
}
