//! Continuing a broken stream of one backend on another, so that the client sees one uninterrupted answer.
//!
//! How the parts work together, for one stream of a frontend with `ResumeStreams`:
//!
//! 1. [`Transcript::begin`] reads the request; `None` means that such an answer cannot be continued.
//! 2. Every piece of the backend's answer goes through [`Transcript::split`]; only what that returns goes to the
//!    client. So the client never holds half a frame, nor the error frame of a backend whose answer goes on.
//! 3. The stream dies. [`Transcript::resumption`] gives the request for another backend: the same, with the text so
//!    far as the beginning of the assistant's answer. `None`: send [`Transcript::rest`] and an error, as without.
//! 4. The other backend answers with success: [`Transcript::splice`] gives the [`Splice`] that makes its frames
//!    continue the first stream. What it returns goes through [`Transcript::split`] again, so that the second
//!    death is no different from the first.
//!
//! ```
//! use bytes::Bytes;
//! use ollamaflow_protocol::object::ApiFormat;
//! use ollamaflow_protocol::resume::Transcript;
//! use ollamaflow_protocol::route::Operation;
//!
//! let request = Bytes::from(r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#);
//! let mut transcript = Transcript::begin(Operation::OllamaChat, request).unwrap();
//!
//! // The first backend dies in the middle of its second frame, of which the client gets nothing.
//! let first = r#"{"model":"m","message":{"role":"assistant","content":"Hello"},"done":false}"#;
//! let sent = transcript.split(Bytes::from(format!("{first}\n{{\"model\":\"m\",\"mess")));
//! assert_eq!(sent, format!("{first}\n"));
//!
//! let continuation = transcript.resumption(ApiFormat::Ollama).unwrap();
//! assert_eq!(continuation.operation_path, "/api/chat");
//! assert!(continuation.body.ends_with(br#"{"role":"assistant","content":"Hello"}]}"#));
//!
//! // The second backend has answered 200 with a stream of its own.
//! let mut splice = transcript.splice(continuation);
//! let end = r#"{"model":"m","message":{"role":"assistant","content":"!"},"done":true,"eval_count":1}"#;
//! let sent = transcript.split(splice.push(Bytes::from(format!("{end}\n"))));
//! assert!(sent.ends_with(b"\"done\":true,\"eval_count\":2,\"x_ollamaflow_resumed\":1}\n"));
//! assert!(splice.is_complete() && splice.misfit().is_none());
//! ```
//!
//! Ollama continues a trailing assistant message by itself; vLLM does when it is asked to
//! (`continue_final_message`). An answer is never continued within a thought, a tool call or a grammar: engines
//! can be given the text so far, but not the state that goes with those.

mod dialect;
mod frames;
mod object;
mod request;
mod seam;
mod splice;
mod transcript;

#[cfg(test)]
mod tests;

pub use self::request::Continuation;
pub use self::splice::{Misfit, Splice};
pub use self::transcript::{Obstacle, Transcript};
