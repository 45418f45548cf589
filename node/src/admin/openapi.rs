//! `/openapi.json`: the description of the API, made once and then served as it is.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use super::packed::Packed;
use crate::description::{self, Api};

static DOCUMENT: LazyLock<Packed> =
    LazyLock::new(|| Packed::new(document().to_string().into_bytes(), "application/json"));

/// The description of all routes, of admins and of clients.
pub fn document() -> Value {
    let mut api = Api::default();
    super::describe(&mut api);
    description::document(api)
}

/// `GET /openapi.json`.
pub(super) async fn serve(request: HttpRequest) -> HttpResponse {
    DOCUMENT.answer(&request).finish()
}

#[cfg(test)]
mod tests;
