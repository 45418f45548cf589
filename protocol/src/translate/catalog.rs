//! Lists and descriptions of models, from one API into the other.

mod ollama;
mod openai;

pub use self::ollama::version_answer;

use serde::{Deserialize, Serialize};

use super::answer::AnswerError;
use super::fields::Fields;
use super::{Broken, Occasion, Refused, from_client};
use crate::route::Operation;

/// A question about models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// `GET /api/tags` of a backend of OpenAI's API.
    Tags,
    /// `GET /api/ps` of a backend of OpenAI's API: it has in memory what it serves.
    Ps,
    /// `POST /api/show` of a backend of OpenAI's API; the model as the client wrote it.
    Show(String),
    /// `GET /v1/models` of an Ollama.
    Models,
    /// `GET /v1/models/:id` of an Ollama; the model as the client wrote it.
    Model(String),
}

// === impl Lookup ===

impl Lookup {
    /// Reads a client's question, and names what of it is dropped.
    pub(super) fn read(
        operation: Operation,
        path_model: Option<&str>,
        body: &[u8],
    ) -> Result<(Self, Vec<String>), Refused> {
        let lookup = match operation {
            Operation::OllamaTags => Self::Tags,
            Operation::OllamaPs => Self::Ps,
            Operation::OllamaShow => return Self::read_show(body),
            Operation::OpenAiModels => Self::Models,
            Operation::OpenAiModel => match path_model {
                Some(model) if !model.is_empty() => Self::Model(model.to_owned()),
                _ => return Err(Refused::verbatim("model", "model is required")),
            },
            _ => return Err(Refused::body("the request cannot be translated")),
        };
        Ok((lookup, Vec::new()))
    }

    fn read_show(body: &[u8]) -> Result<(Self, Vec<String>), Refused> {
        let mut fields = Fields::of_body(body, true)?;
        let lookup = Self::Show(from_client::ollama::model(&mut fields)?);
        // Nothing is known that it would add.
        fields.ignore(&["verbose"]);
        Ok((lookup, fields.rest().collect()))
    }

    /// The same for a model that the backend knows by another name. Of the client's name nothing is in the answer.
    pub(super) fn named(&mut self, model: &str) {
        if let Self::Show(asked) = self {
            model.clone_into(asked);
        }
    }

    /// What the backend is asked.
    pub(super) fn question(&self) -> (Operation, Vec<u8>) {
        match self {
            Self::Tags | Self::Ps | Self::Show(_) => (Operation::OpenAiModels, Vec::new()),
            Self::Models => (Operation::OllamaTags, Vec::new()),
            Self::Model(model) => {
                (Operation::OllamaShow, serde_json::json!({ "model": model }).to_string().into_bytes())
            }
        }
    }

    /// The client's answer from the backend's.
    pub(super) fn answer(&self, body: &[u8], occasion: Occasion) -> Result<Vec<u8>, AnswerError> {
        match self {
            Self::Tags => Ok(ollama::tags(&read(body)?)),
            Self::Ps => Ok(ollama::ps(&read(body)?, occasion)),
            Self::Show(model) => {
                ollama::show(&read(body)?, model).ok_or_else(|| AnswerError::NoSuchModel(model.clone()))
            }
            Self::Models => Ok(openai::models(&read(body)?)),
            Self::Model(model) => Ok(openai::model(model, &read(body)?)),
        }
    }
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Broken> {
    serde_json::from_slice(body).map_err(|e| Broken::Unreadable(e.to_string()))
}

fn written<T: Serialize>(answer: &T) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(
        operation: Operation,
        path_model: Option<&str>,
        body: &str,
    ) -> Result<(Lookup, Vec<String>), Refused> {
        Lookup::read(operation, path_model, body.as_bytes())
    }

    #[test]
    fn questions_are_read_from_path_and_body() {
        for (operation, expected) in [
            (Operation::OllamaTags, Lookup::Tags),
            (Operation::OllamaPs, Lookup::Ps),
            (Operation::OpenAiModels, Lookup::Models),
        ] {
            assert_eq!(lookup(operation, None, ""), Ok((expected, Vec::new())));
        }
        let shown =
            lookup(Operation::OllamaShow, None, r#"{"Name":"m","model":"","verbose":true,"system":"s"}"#);
        assert_eq!(shown, Ok((Lookup::Show("m".to_owned()), vec!["system".to_owned()])));
        let model = lookup(Operation::OpenAiModel, Some("m"), "");
        assert_eq!(model, Ok((Lookup::Model("m".to_owned()), Vec::new())));
    }

    #[test]
    fn questions_without_a_model_are_refused() {
        for (operation, path_model, body) in [
            (Operation::OllamaShow, None, "{}"),
            (Operation::OllamaShow, None, r#"{"name":""}"#),
            (Operation::OpenAiModel, None, ""),
            (Operation::OpenAiModel, Some(""), ""),
        ] {
            assert_eq!(lookup(operation, path_model, body).unwrap_err().message, "model is required");
        }
        assert!(lookup(Operation::OllamaPull, None, r#"{"model":"m"}"#).is_err());
    }

    #[test]
    fn an_answer_that_is_no_list_is_broken() {
        let occasion = Occasion { now: crate::time::Timestamp::EPOCH, nonce: 1 };
        for body in ["<html>", "[]", "{}", r#"{"error":"x"}"#, r#"{"data":{}}"#, r#"{"data":[{"id":7}]}"#] {
            for lookup in [Lookup::Tags, Lookup::Ps, Lookup::Show("m".to_owned()), Lookup::Models] {
                let answer = lookup.answer(body.as_bytes(), occasion);
                assert!(matches!(answer, Err(AnswerError::Broken(Broken::Unreadable(_)))), "{body}");
            }
        }
    }
}
