//! Writers of requests for backends, one for each operation.

mod ollama;
pub(super) mod ollama_chat;
pub(super) mod ollama_embed;
pub(super) mod ollama_generate;
mod openai;
mod openai_calls;
pub(super) mod openai_chat;
pub(super) mod openai_completion;
pub(super) mod openai_embeddings;

use serde::Serialize;

use super::Refused;

/// A request that was written.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) body: Vec<u8>,
    /// What the backend's API has no word for, in the names of the neutral form (options without `options.`).
    pub(super) dropped: Vec<String>,
}

// === impl Said ===

impl Said {
    /// The request whose body is `body`.
    fn of<T: Serialize>(body: &T, dropped: Vec<String>) -> Result<Self, Refused> {
        let body = serde_json::to_vec(body)
            .map_err(|e| Refused::body(format!("the request cannot be written: {e}")))?;
        Ok(Self { body, dropped })
    }
}

/// Names of Ollama's options (`api/types.go`): nested for its clients, at the top level for all others.
pub(super) const OPTIONS: &[&str] = &[
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
    "num_keep",
    "seed",
    "num_predict",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_last_n",
    "temperature",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "stop",
];
