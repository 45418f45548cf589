//! Writers of answers for clients: pieces in, frames or whole bodies out.

pub(super) mod anthropic;
mod event;
pub(super) mod ollama;
pub(super) mod ollama_chat;
pub(super) mod ollama_embed;
pub(super) mod ollama_generate;
pub(super) mod openai;
pub(super) mod openai_chat;
pub(super) mod openai_completion;
pub(super) mod openai_embeddings;
pub(super) mod responses;
#[cfg(test)]
mod told;

use super::piece::Piece;
use crate::time::Timestamp;

/// Writes one answer: either some `piece`s or one `whole`.
pub(super) trait WriteAnswer {
    /// Writes the frames for a piece of a streamed answer; those for the end of the stream (`[DONE]` and the like)
    /// behind the piece with `done`. A piece may give none.
    fn piece(&mut self, piece: Piece, now: Timestamp, out: &mut Vec<u8>);

    /// Whether the writer holds as much of the answer as it may: some APIs repeat all of it in their last frame.
    fn is_full(&self) -> bool {
        false
    }

    /// Ends a streamed answer that broke by the frame that the client's SDK raises as an error. No end marker follows.
    fn error(&mut self, message: &str, out: &mut Vec<u8>);

    /// Writes an answer that is not streamed. `piece` is all of it.
    fn whole(&mut self, piece: Piece, now: Timestamp) -> Vec<u8>;
}
