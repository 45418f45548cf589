//! What a client wants changed: the bodies of `/api/pull`, `/api/push`, `/api/create`, `/api/copy` and `/api/delete`, read as
//! far as it takes to know which backends it concerns. They go on as they are.

use serde_json::{Map, Value};
use thiserror::Error;

use super::inventory::MAX_NAME;
use crate::json::key::same_key;
use crate::route::Operation;

/// Most blobs that one model may be made of.
const MAX_BLOBS: usize = 1000;

/// A change of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Download.
    Pull {
        /// The name.
        model: String,
    },
    /// Upload to a registry.
    Push {
        /// The name.
        model: String,
    },
    /// Another model from what is there.
    Create {
        /// The name of the new one.
        model: String,
        /// The model that it is made from, if it is made from one.
        from: Option<String>,
        /// Digests of the blobs that it is made from.
        blobs: Vec<String>,
    },
    /// A second name.
    Copy {
        /// Of this model.
        source: String,
        /// The new name.
        destination: String,
    },
    /// Removal.
    Delete {
        /// The name.
        model: String,
    },
}

/// Why a body is no change. The sentences are for the client.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// There is none.
    #[error("missing request body")]
    Missing,
    /// It is no JSON object.
    #[error("the request body must be a JSON object: {0}")]
    Unreadable(serde_json::Error),
    /// Something that it has to name is not there.
    #[error("{0} is required")]
    Unnamed(&'static str),
    /// A name that no model can have.
    #[error("{0} must be a name of at most {MAX_NAME} bytes, without control characters")]
    BadName(&'static str),
    /// It names too many blobs.
    #[error("a model can be made of at most {MAX_BLOBS} blobs")]
    TooManyBlobs,
}

// === impl Change ===

impl Change {
    /// Reads a body of the operation; `None` for operations that change no models.
    pub fn read(operation: Operation, body: &[u8]) -> Option<Result<Self, ChangeError>> {
        let read = match operation {
            Operation::OllamaPull => |fields: &Fields| Ok(Self::Pull { model: fields.model()? }),
            Operation::OllamaPush => |fields: &Fields| Ok(Self::Push { model: fields.model()? }),
            Operation::OllamaDelete => |fields: &Fields| Ok(Self::Delete { model: fields.model()? }),
            Operation::OllamaCopy => |fields: &Fields| {
                Ok(Self::Copy {
                    source: fields.required("source")?,
                    destination: fields.required("destination")?,
                })
            },
            Operation::OllamaCreate => |fields: &Fields| {
                let (model, from) = (fields.model()?, fields.text("from").map(str::to_owned));
                Ok(Self::Create { model, from, blobs: fields.blobs()? })
            },
            _ => return None,
        };
        Some(Fields::parse(body).and_then(|fields| read(&fields)))
    }

    /// The model that is there afterwards, or is not.
    pub fn model(&self) -> &str {
        match self {
            Self::Pull { model }
            | Self::Push { model }
            | Self::Create { model, .. }
            | Self::Delete { model } => model,
            Self::Copy { destination, .. } => destination,
        }
    }
}

/// The members of a body, found as Go finds them.
struct Fields(Map<String, Value>);

// === impl Fields ===

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, ChangeError> {
        if body.trim_ascii().is_empty() {
            return Err(ChangeError::Missing);
        }
        serde_json::from_slice(body).map(Self).map_err(ChangeError::Unreadable)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().rfind(|(key, _)| same_key(key, name)).map(|(_, value)| value)
    }

    /// A text that is not empty.
    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    fn required(&self, name: &'static str) -> Result<String, ChangeError> {
        Self::named(name, self.text(name))
    }

    fn named(what: &'static str, text: Option<&str>) -> Result<String, ChangeError> {
        let text = text.ok_or(ChangeError::Unnamed(what))?;
        if text.len() > MAX_NAME || text.chars().any(char::is_control) {
            return Err(ChangeError::BadName(what));
        }
        Ok(text.to_owned())
    }

    /// `model`, or what it was called before.
    fn model(&self) -> Result<String, ChangeError> {
        Self::named("model", self.text("model").or_else(|| self.text("name")))
    }

    /// The digests in `files` and `adapters`, each once.
    fn blobs(&self) -> Result<Vec<String>, ChangeError> {
        let members = ["files", "adapters"].into_iter().filter_map(|name| self.get(name)?.as_object());
        let mut blobs: Vec<String> =
            members.flat_map(Map::values).filter_map(Value::as_str).map(str::to_owned).collect();
        blobs.sort_unstable();
        blobs.dedup();
        if blobs.len() > MAX_BLOBS { Err(ChangeError::TooManyBlobs) } else { Ok(blobs) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(operation: Operation, body: &str) -> Result<Change, String> {
        Change::read(operation, body.as_bytes()).unwrap().map_err(|e| e.to_string())
    }

    #[test]
    fn a_name_that_no_model_can_have_is_refused() {
        let long = "a".repeat(MAX_NAME + 1);
        for name in ["a\u{0}b", "a\nb", long.as_str()] {
            let body = serde_json::json!({ "model": name, "source": name, "destination": "x" }).to_string();
            for operation in [Operation::OllamaPull, Operation::OllamaCreate, Operation::OllamaCopy] {
                let told = read(operation, &body).unwrap_err();
                assert!(told.contains("must be a name of at most 1024 bytes"), "{told}");
            }
        }
    }

    #[test]
    fn a_model_is_named_by_model_or_name_in_any_case() {
        for body in [
            r#"{"model":"m"}"#,
            r#"{"name":"m"}"#,
            r#"{"Model":" m ","name":"other"}"#,
            r#"{"model":"","NAME":"m"}"#,
            r#"{"model":"first","MODEL":"m"}"#,
        ] {
            assert_eq!(
                read(Operation::OllamaPull, body),
                Ok(Change::Pull { model: "m".to_owned() }),
                "{body}"
            );
            assert_eq!(read(Operation::OllamaDelete, body), Ok(Change::Delete { model: "m".to_owned() }));
            assert_eq!(read(Operation::OllamaPush, body), Ok(Change::Push { model: "m".to_owned() }));
        }
    }

    #[test]
    fn a_copy_has_two_names_and_a_creation_its_ingredients() {
        let copy = read(Operation::OllamaCopy, r#"{"source":"a","destination":"b"}"#).unwrap();
        assert_eq!(copy, Change::Copy { source: "a".to_owned(), destination: "b".to_owned() });
        assert_eq!(copy.model(), "b");
        let body =
            r#"{"model":"n","from":"m","files":{"a":"sha256:2","b":"sha256:1"},"adapters":{"c":"sha256:2"}}"#;
        let create = Change::Create {
            model: "n".to_owned(),
            from: Some("m".to_owned()),
            blobs: vec!["sha256:1".to_owned(), "sha256:2".to_owned()],
        };
        assert_eq!(read(Operation::OllamaCreate, body), Ok(create));
        let bare = Change::Create { model: "n".to_owned(), from: None, blobs: Vec::new() };
        assert_eq!(read(Operation::OllamaCreate, r#"{"model":"n","from":"","files":null}"#), Ok(bare));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (operation, body, why) in [
            (Operation::OllamaPull, "", "missing request body"),
            (Operation::OllamaPull, "{}", "model is required"),
            (Operation::OllamaDelete, r#"{"model":null}"#, "model is required"),
            (Operation::OllamaCopy, r#"{"destination":"b"}"#, "source is required"),
            (Operation::OllamaCopy, r#"{"source":"b"}"#, "destination is required"),
        ] {
            assert_eq!(read(operation, body), Err(why.to_owned()), "{body}");
        }
        assert!(read(Operation::OllamaPull, "[]").unwrap_err().contains("JSON object"));
        let files: Map<String, Value> =
            (0..=MAX_BLOBS).map(|number| (number.to_string(), Value::from(number.to_string()))).collect();
        let body = serde_json::json!({ "model": "m", "files": files }).to_string();
        assert!(read(Operation::OllamaCreate, &body).unwrap_err().contains("at most 1000"));
    }

    #[test]
    fn other_operations_change_nothing() {
        assert!(Change::read(Operation::OllamaShow, b"{}").is_none());
        assert!(Change::read(Operation::OllamaBlob, b"{}").is_none());
    }
}
