//! Requests of clients' APIs that are answered here, since no backend can.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate;
use serde_json::json;

use super::ingress::Admitted;
use super::intake::Intake;
use super::refusal::Refusal;
use super::translating::Told;

const ESTIMATE: HeaderName = HeaderName::from_static(names::ESTIMATE);

/// Whether the request is answered here.
pub(super) fn is_answered_here(operation: Operation) -> bool {
    // Engines have no such path, and each counts by a tokenizer of its own.
    operation == Operation::AnthropicCountTokens
}

/// The answer to such a request.
pub(super) fn answer(admitted: &Admitted, body: &Intake) -> Result<HttpResponse<BoxBody>, Refusal> {
    let (Intake::Kept(bytes) | Intake::Once(bytes)) = body else { return Err(Refusal::NotWhole) };
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, "application/json"));
    response.insert_header((ESTIMATE, HeaderValue::from_static("true")));
    let answer = json!({ "input_tokens": translate::count_tokens(bytes)? });
    let mut response = response.body(answer.to_string());
    Told::here().write(admitted.operation, response.headers_mut());
    Ok(response)
}
