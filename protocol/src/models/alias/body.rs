//! The name of a model in the bytes of requests and answers.

use thiserror::Error;

use crate::models::rename::Members;
use crate::object::ApiFormat;
use crate::route::Operation;

/// Where answers of any API have the name of the model: at the top, and in the first events of Responses and Messages
/// within the object that they are about.
const ANSWER: Members<'static> =
    Members { keys: &[b"model"], within: &[b"response", b"message"], folded: false };

/// Why a name cannot be put into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AliasError {
    /// The body is no JSON object, or cut.
    #[error("the request body must be a JSON object")]
    NotAnObject,
}

/// A request's body with another model, for [`super::Resolved::changes_request`].
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

/// One JSON object of an answer, whole or a frame's payload, with the name that the client used; `None` if it names no
/// model, so that it can go on as it is.
pub fn echoed(answer: &[u8], echo: &str) -> Option<Vec<u8>> {
    let places = ANSWER.find(answer).ok().filter(|places| !places.is_empty())?;
    Some(places.replaced(answer, "model", echo))
}
