//! Readers of backends' answers to chats and completions: bytes in frames or whole bodies in, pieces out.

pub(super) mod ollama;
pub(super) mod ollama_embed;
mod openai;
mod openai_calls;
pub(super) mod openai_chat;
pub(super) mod openai_completion;
pub(super) mod openai_embeddings;

use super::Broken;
use super::frames::{Frame, Framing};
use super::piece::Piece;
use crate::time::Timestamp;

/// Reads one answer.
///
/// The last piece of a whole answer has `done`, and no other has. An error that the backend reports is
/// [`Broken::Reported`].
pub(super) trait ReadAnswer {
    /// How the frames of a streamed answer are told apart.
    fn framing(&self) -> Framing;

    /// Takes one frame of a streamed answer; what it says is put behind `pieces`.
    fn frame(&mut self, frame: Frame<'_>, now: Timestamp, pieces: &mut Vec<Piece>) -> Result<(), Broken>;

    /// The stream has ended. Gives what was held back, the end included; [`Broken::Ended`] if it is not complete. Called
    /// once, and not after `done`.
    fn end(&mut self, now: Timestamp, pieces: &mut Vec<Piece>) -> Result<(), Broken>;

    /// Reads an answer that is not streamed: one piece with `done`.
    fn whole(&mut self, body: &[u8], now: Timestamp) -> Result<Piece, Broken>;
}
