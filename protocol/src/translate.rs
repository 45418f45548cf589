//! Translation between the APIs that clients speak and those that backends speak.
//!
//! Every pair composes through one neutral form, which is Ollama's own API made exact, so that a new API costs one
//! reader and one writer and not one of each per peer:
//!
//! ```text
//! request   client's body  -> from_client  -> Chat | Completion | Embedding -> to_backend -> backend's body
//! answer    backend's bytes -> from_backend -> Piece, Piece, ...            -> to_client  -> client's bytes
//! ```
//!
//! Pure: bytes in, bytes out; the time and random numbers are passed in ([`Occasion`]). Streams are read in any
//! fragmentation, and what is held back is bounded ([`frames::MAX_FRAME`]). What a request asks for and the other API
//! has no word for is left out and named ([`Translated::dropped`]); what would change the meaning of the request is
//! refused ([`Refused`]), naming the field.
//!
//! The rules are Ollama's own compatibility layer where it has them (`openai/openai.go`, `anthropic/anthropic.go`,
//! `llm/llama_server.go` at fb307609), but for its defects: see `docs/translation.md`.

mod answer;
mod catalog;
mod chat;
mod completion;
mod count_tokens;
mod embedding;
mod fields;
pub mod frames;
mod from_backend;
mod from_client;
mod ident;
mod keep_alive;
mod media;
mod native;
mod number;
mod piece;
pub mod pins;
mod refused;
mod request;
mod to_backend;
mod to_client;

pub use self::answer::{Answer, AnswerError, MAX_WHOLE};
pub use self::catalog::version_answer;
pub use self::count_tokens::count_tokens;
pub use self::ident::Occasion;
pub(crate) use self::keep_alive::nanoseconds as keep_alive_nanoseconds;
pub use self::media::RemoteMedia;
pub use self::native::{Native, Version, can_reach, native};
pub use self::refused::{Broken, Refused};
pub use self::request::{Request, Translated};
