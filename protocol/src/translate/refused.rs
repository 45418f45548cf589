//! Why a request or an answer cannot be translated.

use thiserror::Error;

/// A request that cannot be said in the backend's API, or that is no request at all: the client's mistake, answered
/// with 400 in the client's own protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Refused {
    /// Where in the body, such as `messages[1].content`; OpenAI's `param`. `None` if it is the body as a whole.
    pub field: Option<String>,
    /// For the client; names the field wherever the other API has no wording of its own for the mistake.
    pub message: String,
}

/// A backend's answer that cannot be passed on as a whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// The backend says so itself; its words.
    #[error("{0}")]
    Reported(String),
    /// It is not what its API says that it is.
    #[error("the backend's answer cannot be read: {0}")]
    Unreadable(String),
    /// It ended before it was complete.
    #[error("upstream closed the stream before completion")]
    Ended,
    /// A frame longer than [`super::frames::MAX_FRAME`].
    #[error("the backend sent a frame of more than 8 MiB")]
    TooLong,
    /// The client's API has all of the answer in its last frame, which would be longer than
    /// [`super::frames::MAX_FRAME`].
    #[error("the answer has more than 8 MiB, which the last event would have to repeat")]
    TooMuch,
}

// === impl Refused ===

impl Refused {
    /// `message` stands as it is, because it is upstream's own wording.
    pub fn verbatim(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), message: message.into() }
    }

    /// `why` is what is wrong with the field, such as `must be a string`.
    pub fn field(field: impl Into<String>, why: impl AsRef<str>) -> Self {
        let field = field.into();
        Self { message: format!("{field} {}", why.as_ref()), field: Some(field) }
    }

    /// The body itself is at fault.
    pub fn body(message: impl Into<String>) -> Self {
        Self { field: None, message: message.into() }
    }
}
