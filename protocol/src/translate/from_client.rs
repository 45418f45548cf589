//! Readers of clients' requests, one for each operation.

pub(super) mod anthropic;
mod function_tool;
mod image;
pub(super) mod ollama;
pub(super) mod ollama_chat;
pub(super) mod ollama_embed;
pub(super) mod ollama_generate;
mod openai;
pub(super) mod openai_chat;
pub(super) mod openai_completion;
pub(super) mod openai_embeddings;
mod openai_messages;
mod openai_parts;
pub(super) mod responses;

/// Go's decoder, by which Ollama reads every API, does not mind the case of keys.
const FOLDED: bool = true;

/// A request that was read.
#[derive(Debug)]
pub(super) struct Asked<T, E> {
    /// What is asked for, in neutral form.
    pub(super) request: T,
    /// What the writer of the answer has to know of the request.
    pub(super) echo: E,
    /// Members that neither neutral form nor echo have a place for: the client is told.
    pub(super) dropped: Vec<String>,
}
