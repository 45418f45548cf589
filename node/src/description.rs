//! What the API description (`OpenAPI` 3.1) is made of: operations, the schemas of what they read and write, and how
//! they fail.
//!
//! In: entries, which stand beside the code that they describe (`describe` in the files of `admin`; the routes of
//! clients, in `client`). Out: one document. Knows nothing of how it is served.

pub mod client;
mod document;
mod entry;
mod failures;
mod tidy;

pub use self::document::document;
pub use self::entry::{Api, Entry, Method};
pub use self::failures::{AnthropicError, Audience, OllamaError, OpenAiError};
