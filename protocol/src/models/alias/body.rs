//! The name of a model in the bytes of requests and answers.

use thiserror::Error;

use crate::models::rename::Members;
use crate::object::ApiFormat;
use crate::route::Operation;

/// Why a name cannot be put into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AliasError {
    /// The body is no JSON object, or cut.
    #[error("the request body must be a JSON object")]
    NotAnObject,
    /// The body is no form, or its parts cannot be told apart.
    #[error("the request body must be a form (multipart/form-data)")]
    NotAForm,
}

/// A request's body with another model: what [`super::Renaming::target`] says, or a default.
///
/// Every spelling and duplicate of the member gets the name, so that none can take its place, as with pinned properties
/// ([`crate::json::merge_pins`]); where there is none, it is added. An empty body counts as an empty object. The place
/// is `model`, and for Ollama's operations `name` as well.
pub fn named(operation: Operation, body: &[u8], target: &str) -> Result<Vec<u8>, AliasError> {
    let is_ollama = operation.format() == ApiFormat::Ollama;
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let keys: &[&[u8]] = if is_ollama { &[b"model", b"name"] } else { &[b"model"] };
    let members = Members { keys, within: &[], folded: is_ollama };
    let places = members.find(body).map_err(|_| AliasError::NotAnObject)?;
    Ok(places.replaced(body, "model", target))
}
