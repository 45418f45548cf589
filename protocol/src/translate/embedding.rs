//! An embeddings request in neutral form.

use serde::Serialize;
use serde_json::{Map, Value};

use super::piece::Timings;
use crate::wire::Usage;

/// Texts to be turned into vectors.
#[derive(Clone, Debug, Default)]
pub(super) struct Embedding {
    /// As the client wrote it.
    pub(super) model: String,
    pub(super) input: Input,
    pub(super) dimensions: Option<u64>,
    /// Whether an input that is too long is cut: Ollama's default. `None`: the client does not say.
    pub(super) truncate: Option<bool>,
    pub(super) options: Map<String, Value>,
    pub(super) keep_alive: Option<Value>,
}

/// One text or several; or tokens, which only some backends take. Written in the form that it came in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Input {
    One(String),
    Many(Vec<String>),
    /// Whatever else the client wrote, such as arrays of tokens.
    Other(Value),
}

/// The answer: a vector for each text, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Vectors {
    pub(super) rows: Vec<Vec<f32>>,
    pub(super) usage: Usage,
    pub(super) timings: Timings,
}

// === impl Input ===

impl Input {
    /// Whether there is nothing to be turned into a vector, which only loads the model.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::One(text) => text.is_empty(),
            Self::Many(texts) => texts.is_empty(),
            Self::Other(_) => false,
        }
    }
}

impl Default for Input {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}
